// Indexes in a real PostgreSQL, held against folders of the same pictures.
#include "opencloc/index/postgres/postgres.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/index/postgres/connection.h"
#include "opencloc/index/postgres/nearest.h"
#include "opencloc/index/transfer.h"
#include "postgres_server.h"
#include "small_index.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

using fixtures::error_of;
using fixtures::kSmallWidth;
using fixtures::made_up_picture;
using fixtures::made_up_vector;
using fixtures::PostgresServer;
using fixtures::SmallIndex;
using fixtures::TestFolder;
using ::testing::HasSubstr;
using ::testing::Not;

class InPostgres : public ::testing::Test {
 protected:
  void SetUp() override {
    OPENCLOC_NEEDS_POSTGRES();
    std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::transform(name.begin(), name.end(), name.begin(), ::tolower);
    place_ = PostgresServer::get().place(name.substr(0, 40));
  }
  void make() const {
    create_store(place_, {.width = kSmallWidth, .model = "m", .fingerprint = "f"});
  }
  void add(int begin, int end) const {
    const auto writer = open_store_writer(place_);
    for (int i = begin; i < end; ++i) writer->add(made_up_picture(i));
    writer->commit();
  }
  // The index in the folder, in the database: the same vectors to the last bit (made_up_vector()).
  void copy_from(const SmallIndex& folder) const {
    const TestFolder scratch;
    IndexReader index(folder.path());
    export_npy(index, scratch / "out");
    import_vectors(scratch / "out", place_, {});
  }
  static SearchResult search_one(const IndexStore& index, const std::vector<float>& query,
                                 const SearchOptions& options = {}) {
    return search(index, {&query, 1}, options).front();
  }
  static std::vector<int64_t> pictures_of(const SearchResult& result) {
    std::vector<int64_t> pictures;
    for (const Hit& hit : result.hits) pictures.push_back(hit.picture);
    return pictures;
  }
  std::string place_;
};

void expect_same_region(const RegionHit& a, const RegionHit& b) {
  EXPECT_EQ(a.region, b.region);
  EXPECT_EQ(a.box, b.box);
  EXPECT_NEAR(a.score, b.score, 1e-6);
  EXPECT_NEAR(a.cosine, b.cosine, 1e-6);
  EXPECT_EQ(a.quality, b.quality);
  EXPECT_NEAR(a.z, b.z, 0.05 * std::abs(b.z) + 0.05);  // the folder's spread is of 8-bit scores
}

void expect_same_result(const SearchResult& a, const SearchResult& b) {
  EXPECT_EQ(a.scanned, b.scanned);
  EXPECT_EQ(a.below, b.below);
  EXPECT_EQ(a.folded, b.folded);
  EXPECT_EQ(a.cut_z, b.cut_z);
  EXPECT_NEAR(a.median, b.median, 0.003);
  EXPECT_NEAR(a.deviation, b.deviation, 0.05 * b.deviation);  // of 8-bit scores in the folder
  ASSERT_EQ(a.hits.size(), b.hits.size());
  for (size_t i = 0; i < a.hits.size(); ++i) {
    EXPECT_EQ(a.hits[i].picture, b.hits[i].picture) << i;
    EXPECT_EQ(a.hits[i].rank, b.hits[i].rank);
    EXPECT_EQ(a.hits[i].duplicates, b.hits[i].duplicates);
    expect_same_region(a.hits[i].best, b.hits[i].best);
    ASSERT_EQ(a.hits[i].more.size(), b.hits[i].more.size());
    for (size_t k = 0; k < a.hits[i].more.size(); ++k)
      expect_same_region(a.hits[i].more[k], b.hits[i].more[k]);
  }
}

TEST_F(InPostgres, TheSameHitsAsInAFolder) {
  const SmallIndex small;
  {
    IndexWriter writer(small.path());
    for (int i = 0; i < 400; ++i) {
      NewPicture picture = made_up_picture(i);
      if (i % 10 == 7) picture.vector = made_up_vector(static_cast<uint64_t>(i / 100) * 70'000);
      writer.add(picture);
    }
    writer.commit();
  }
  copy_from(small);
  const IndexReader folder(small.path());
  const auto database = open_store(place_);
  std::vector<std::vector<float>> queries;
  for (uint64_t q = 0; q < 10; ++q) queries.push_back(made_up_vector(77'000 + q));
  queries.push_back(made_up_vector(0));  // many near-duplicates of it
  for (const auto unit : {SearchUnit::kPicture, SearchUnit::kRegion, SearchUnit::kBoth}) {
    std::vector<SearchOptions> all(4);
    all[1] = {.k = 25, .fold = false, .more_regions = 1};
    all[2].min_score = 0.25;
    all[3].k = 1000;  // more than there are
    for (SearchOptions options : all) {
      options.unit = unit;
      const auto ours = search(*database, queries, options);
      const auto theirs = search(folder, queries, options);
      for (size_t q = 0; q < queries.size(); ++q) {
        SCOPED_TRACE(testing::Message() << "query " << q << " unit " << static_cast<int>(unit));
        expect_same_result(ours[q], theirs[q]);
      }
    }
  }
  EXPECT_GT(search_one(folder, queries.back(), {.unit = SearchUnit::kPicture}).folded, 5);
  const auto cut = search_one(*database, queries[0], {.cut = {Cut::Mode::kZ, 2}});
  EXPECT_GT(cut.hits.size() + static_cast<size_t>(cut.below), 9u);
  for (const Hit& hit : cut.hits) EXPECT_GE(hit.best.z, 2);
}

TEST_F(InPostgres, QualitiesWeighAsInAFolder) {
  const SmallIndex small;
  {
    IndexWriter writer(small.path());
    for (int i = 0; i < 400; ++i) {
      NewPicture picture = made_up_picture(i);
      for (size_t k = 0; k < picture.regions.size(); ++k)
        picture.regions[k].quality =
            static_cast<float>((static_cast<size_t>(i) + 31 * k) % 98) / 97;
      writer.add(picture);
    }
    writer.commit();
  }
  copy_from(small);
  const IndexReader folder(small.path());
  const auto database = open_store(place_);
  EXPECT_TRUE(database->has_quality());
  std::vector<std::vector<float>> queries;
  for (uint64_t q = 0; q < 10; ++q) queries.push_back(made_up_vector(77'000 + q));
  const auto check = [&](const SearchOptions& options) {
    const auto ours = search(*database, queries, options);
    const auto theirs = search(folder, queries, options);
    for (size_t q = 0; q < queries.size(); ++q) {
      SCOPED_TRACE(testing::Message() << q << " unit " << static_cast<int>(options.unit));
      expect_same_result(ours[q], theirs[q]);
    }
    return ours.front();
  };
  for (const auto unit : {SearchUnit::kPicture, SearchUnit::kRegion, SearchUnit::kBoth}) {
    check({.unit = unit, .k = 25, .fold = false});
    check({.unit = unit, .quality = false});
  }
  const RegionHit best = check({.min_score = 0.1}).hits.at(0).best;
  EXPECT_LT(best.score, best.cosine);
  // With HNSW indexes, too, which know nothing of qualities.
  open_store_writer(place_)->compact({});
  EXPECT_TRUE(database->refresh());
  check({.k = 25, .fold = false});
  EXPECT_TRUE(database->has_quality());
}

TEST_F(InPostgres, ChangesDoWhatTheyDoInAFolder) {
  make();
  const SmallIndex small;
  const auto change = [](IndexStoreWriter& writer) {
    for (int i = 0; i < 20; ++i) writer.add(made_up_picture(i));
    PictureName second = made_up_picture(3).name;
    second.name = "another name.jpg";
    writer.add_name(second, made_up_picture(3).digest);  // not committed yet
    writer.commit();
    EXPECT_TRUE(writer.has(made_up_picture(3).digest));
    EXPECT_FALSE(writer.has(made_up_picture(20).digest));
    writer.add(made_up_picture(20));
    EXPECT_TRUE(writer.has(made_up_picture(20).digest));
    EXPECT_EQ(writer.pending(), 1);
    // Picture 5's only name moves to another picture, so that picture 5 goes.
    writer.add_name(made_up_picture(5).name, made_up_picture(4).digest);
    writer.add_name(made_up_picture(5).name, made_up_picture(20).digest);
    writer.commit();
    EXPECT_EQ(writer.pending(), 0);
    const std::vector<int64_t> ids = {1, 2, 999};
    EXPECT_EQ(writer.remove(ids), 2);
    const std::vector<std::string> names = {"picture3.jpg", "picture7.jpg", "none"};
    EXPECT_EQ(writer.remove_names(names), 1);  // picture 3 has its other name
    writer.commit();
  };
  {
    const auto database = open_store_writer(place_);
    change(*database);
    IndexWriter folder(small.path());
    change(folder);
  }
  const auto database = open_store(place_);
  IndexReader folder(small.path());
  PictureCatalog &ours = database->catalog(), &theirs = folder.catalog();
  EXPECT_EQ(ours.counts().pictures, theirs.counts().pictures);
  EXPECT_EQ(ours.counts().rows, theirs.counts().rows);
  EXPECT_EQ(ours.counts().names, theirs.counts().names);
  EXPECT_EQ(ours.counts().texts, theirs.counts().texts);
  EXPECT_EQ(database->searched(SearchUnit::kRegion), folder.searched(SearchUnit::kRegion));
  const auto pictures = ours.pictures_after(0, 100), expected = theirs.pictures_after(0, 100);
  ASSERT_EQ(pictures.size(), expected.size());
  std::vector<int64_t> ids;
  for (size_t i = 0; i < pictures.size(); ++i) {
    EXPECT_EQ(pictures[i].id, expected[i].id);
    EXPECT_EQ(pictures[i].digest, expected[i].digest);
    EXPECT_EQ(pictures[i].caption, expected[i].caption);
    EXPECT_EQ(pictures[i].rows, expected[i].rows);
    ids.push_back(pictures[i].id);
  }
  const auto entries = ours.pictures(ids), expected_entries = theirs.pictures(ids);
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto& names = entries[i].names;
    ASSERT_EQ(names.size(), expected_entries[i].names.size());
    for (size_t k = 0; k < names.size(); ++k) {
      EXPECT_EQ(names[k].name, expected_entries[i].names[k].name);
      EXPECT_EQ(names[k].sample, expected_entries[i].names[k].sample);
    }
    ASSERT_EQ(entries[i].texts.size(), expected_entries[i].texts.size());
    for (size_t k = 0; k < entries[i].texts.size(); ++k)
      EXPECT_EQ(entries[i].texts[k].text, expected_entries[i].texts[k].text);
  }
  EXPECT_FALSE(ours.find_name("picture7.jpg"));
  EXPECT_EQ(ours.find_name("picture5.jpg")->picture, theirs.find_name("picture5.jpg")->picture);
}

TEST_F(InPostgres, WhatIsRemovedIsNotFoundByTheNextSearch) {
  make();
  add(0, 40);
  const auto open = open_store(place_);
  const auto query = made_up_picture(33).vector;
  const SearchOptions options{.unit = SearchUnit::kPicture, .k = 100};
  EXPECT_EQ(search_one(*open, query, options).hits.at(0).picture, 34);
  EXPECT_NEAR(search_one(*open, query, options).hits.at(0).best.score, 1, 0.001);
  const std::vector<int64_t> ids = {34};
  EXPECT_EQ(open_store_writer(place_)->remove(ids), 1);
  EXPECT_THAT(pictures_of(search_one(*open, query, options)), Not(testing::Contains(34)));
  EXPECT_TRUE(open->refresh());
  EXPECT_FALSE(open->refresh());
  EXPECT_EQ(search_one(*open, query, options).scanned, 39);
  EXPECT_TRUE(open->rows_of(ids).empty());
  add(40, 41);  // numbers are not used again
  EXPECT_EQ(search_one(*open_store(place_), made_up_picture(40).vector, options).hits[0].picture,
            41);
}

TEST_F(InPostgres, KeepsCalibratedCutsAsAFolderDoes) {
  make();
  add(0, 20);
  const auto index = open_store(place_);
  EXPECT_TRUE(index->cuts().empty());
  const CalibratedCut cuts[] = {{SearchUnit::kPicture, SearchScore::kCosine, false, 3.25},
                                {SearchUnit::kRegion, SearchScore::kCosine, true, 0.5}};
  open_store_writer(place_)->set_cuts(cuts);
  EXPECT_TRUE(index->refresh());
  EXPECT_THAT(index->cuts(), ::testing::ElementsAreArray(cuts));
  add(20, 40);  // leaves them
  EXPECT_THAT(open_store(place_)->cuts(), ::testing::ElementsAreArray(cuts));
  SearchOptions options{.unit = SearchUnit::kPicture};
  options.cut.mode = Cut::Mode::kAuto;
  const auto result = search_one(*open_store(place_), made_up_vector(1), options);
  EXPECT_TRUE(result.calibrated);
  EXPECT_EQ(result.cut_z, 3.25);
}

TEST_F(InPostgres, OneProcessWrites) {
  make();
  const auto writer = open_store_writer(place_);
  const std::string refused = error_of([&] { open_store_writer(place_); });
  EXPECT_THAT(refused, HasSubstr("another process is writing the index"));
  EXPECT_THAT(refused, HasSubstr("process " + std::to_string(::getpid())));
  writer->add(made_up_picture(1));
  EXPECT_EQ(open_store(place_)->searched(SearchUnit::kBoth), 0);  // reading goes on
  const std::string other = PostgresServer::get().place("one_process_writes_2");
  create_store(other, {.width = 4});
  EXPECT_NO_THROW(open_store_writer(other));
}

TEST_F(InPostgres, WhatIsNotCommittedIsGone) {
  make();
  add(0, 3);
  {
    const auto writer = open_store_writer(place_);
    writer->add(made_up_picture(3));
  }
  EXPECT_EQ(open_store(place_)->searched(SearchUnit::kPicture), 3);
  add(3, 4);
  EXPECT_EQ(open_store(place_)->searched(SearchUnit::kPicture), 4);
}

TEST_F(InPostgres, ReadsGoOnAfterTheServerWasKilled) {
  make();
  add(0, 30);
  const auto open = open_store(place_);
  const auto writer = open_store_writer(place_);
  writer->add(made_up_picture(30));
  const auto before = search_one(*open, made_up_vector(5));
  PostgresServer& server = PostgresServer::get();
  server.kill();
  const std::string gone = error_of([&] { search_one(*open, made_up_vector(5)); }, 1);
  EXPECT_THAT(gone, HasSubstr("cannot be reached"));
  EXPECT_THAT(gone, HasSubstr("start the server"));
  EXPECT_THAT(gone, Not(HasSubstr("\n")));
  server.start();
  expect_same_result(search_one(*open, made_up_vector(5)), before);
  server.kill();
  server.start();
  expect_same_result(search_one(*open, made_up_vector(5)), before);
  const std::string lost = error_of([&] { writer->commit(); }, 1);
  EXPECT_THAT(lost, HasSubstr("connection to the database was lost"));
  EXPECT_THAT(lost, Not(HasSubstr("\n")));
  EXPECT_EQ(open_store(place_)->searched(SearchUnit::kPicture), 30);
  add(30, 31);  // the lock went with the server
}

TEST_F(InPostgres, NamesAndTextsMayHoldAnything) {
  make();
  const std::vector<std::string> names = {"a'b.jpg",
                                          "a\"b\\c.jpg",
                                          "'; DROP TABLE names; --",
                                          "caf\xe9.jpg",  // Latin-1
                                          "new\nline $1 \xff\xfe",
                                          std::string(5000, 'x') + "1",
                                          std::string(5000, 'x') + "2"};
  {
    const auto writer = open_store_writer(place_);
    for (size_t i = 0; i < names.size(); ++i) {
      NewPicture picture = made_up_picture(static_cast<int>(i));
      picture.name.name = names[i];
      picture.caption = std::string("it's \\ \xff\0.", 10);
      if (!picture.regions.empty()) picture.regions[0].text = "'\"\\\xfe";
      writer->add(picture);
    }
    writer->commit();
  }
  const auto open = open_store(place_);
  for (size_t i = 0; i < names.size(); ++i) {
    const auto found = open->catalog().find_name(names[i]);
    ASSERT_TRUE(found) << names[i];
    EXPECT_EQ(found->name, names[i]);
    const auto entry = open->catalog().pictures({&found->picture, 1}).at(0);
    EXPECT_EQ(entry.names.at(0).name, names[i]);
    EXPECT_EQ(entry.picture.caption, "it's \\ \xef\xbf\xbd\xef\xbf\xbd.");
    for (const RegionText& text : entry.texts) EXPECT_EQ(text.text, "'\"\\\xef\xbf\xbd");
  }
  EXPECT_EQ(open_store_writer(place_)->remove_names(names), static_cast<int64_t>(names.size()));
}

TEST_F(InPostgres, HnswIndexesFindNearlyAllAndKStaysK) {
  make();
  add(0, 800);
  const auto exact = open_store(place_);
  std::vector<SearchResult> expected;
  const auto query = [](uint64_t q) { return made_up_vector(77'000 + q); };
  const SearchOptions options{.k = 10, .fold = false};
  for (uint64_t q = 0; q < 20; ++q) expected.push_back(search_one(*exact, query(q), options));
  EXPECT_EQ(exact->storage()["hnsw_of_regions"], false);
  int64_t heard = 0;
  const auto built = open_store_writer(place_)->compact([&](int64_t rows) { heard += rows; });
  EXPECT_EQ(built.rows, 2000);
  EXPECT_EQ(heard, 2000);
  EXPECT_THAT(built.says, HasSubstr("1200 regions built, recall of the best 10: "));

  const auto open = open_store(place_);
  EXPECT_EQ(open->storage()["hnsw_of_regions"], true);
  EXPECT_EQ(open->storage()["hnsw_of_pictures"], true);
  int64_t same = 0;
  for (uint64_t q = 0; q < 20; ++q) {
    const auto found = pictures_of(search_one(*open, query(q), options));
    EXPECT_EQ(found.size(), 10u);
    for (const int64_t picture : pictures_of(expected[q]))
      same += std::count(found.begin(), found.end(), picture);
  }
  EXPECT_GE(same, 190);
  // The scan answers where the graph has too few.
  for (const auto unit : {SearchUnit::kPicture, SearchUnit::kRegion, SearchUnit::kBoth}) {
    const SearchOptions everything{.unit = unit, .k = 5000, .fold = false};
    EXPECT_EQ(search_one(*open, query(0), everything).hits.size(),
              unit == SearchUnit::kRegion ? 600u : 800u);
  }
  const std::vector<int64_t> ids = {expected[0].hits[0].picture};
  open_store_writer(place_)->remove(ids);
  EXPECT_THAT(pictures_of(search_one(*open, query(0), options)), Not(testing::Contains(ids[0])));
  add(800, 810);
  EXPECT_EQ(
      search_one(*open_store(place_), made_up_picture(805).vector, {.unit = SearchUnit::kPicture})
          .hits.at(0)
          .picture,
      806);
  EXPECT_THAT(open_store_writer(place_)->compact({}).says, HasSubstr("built anew"));
}

TEST_F(InPostgres, TheSampleIsTheSameForEverybodyAndNotTheFirstRows) {
  make();
  add(0, 3000);  // 7500 rows, 4500 regions
  const auto first = open_store(place_), second = open_store(place_);
  std::vector<double> scores;  // of all regions
  const auto query = made_up_vector(5);
  for (int i = 0; i < 3000; ++i) {
    for (const NewRegion& region : made_up_picture(i).regions)
      scores.push_back(dot_product(query, region.vector));
  }
  std::sort(scores.begin(), scores.end());
  const auto a = search_one(*first, query), b = search_one(*second, query);
  EXPECT_EQ(a.median, b.median);
  EXPECT_EQ(a.deviation, b.deviation);
  const double median = scores[scores.size() / 2];
  const double deviation = (median - scores[scores.size() / 4]) / 0.6745;
  EXPECT_NEAR(a.median, median, 0.06 * deviation);
  EXPECT_NEAR(a.deviation, deviation, 0.09 * deviation);
  std::set<int32_t> draws;
  for (int64_t picture = 1; picture < 1000; ++picture) draws.insert(draw_of(picture, 0));
  EXPECT_GT(draws.size(), 990u);
}

TEST_F(InPostgres, ExportsAreThoseOfAFolder) {
  const SmallIndex small;
  small.add(0, 30);
  copy_from(small);
  const TestFolder scratch;
  const auto database = open_store(place_);
  IndexReader folder(small.path());
  EXPECT_EQ(export_npy(*database, scratch / "ours"), export_npy(folder, scratch / "theirs"));
  for (const char* file : {"rows.jsonl", "vectors.npy", "index.json"}) {
    EXPECT_EQ(read_file(scratch / "ours" / file), read_file(scratch / "theirs" / file)) << file;
  }
}

// A database of its own, and a user that may do everything in it but what a superuser may.
class WithoutPgvector : public InPostgres {
 protected:
  void SetUp() override {
    InPostgres::SetUp();
    if (IsSkipped()) return;
    PostgresConnection server(
        parse_postgres_address(PostgresServer::get().place("any", "postgres")), WhenLost::kFail);
    server.execute("DROP DATABASE IF EXISTS bare");
    server.execute("DROP ROLE IF EXISTS limited");
    server.execute("CREATE ROLE limited LOGIN");
    server.execute("CREATE DATABASE bare OWNER limited");
    version_ = server.query("SELECT current_setting('server_version_num')::int8").number(0, 0);
    place_ = PostgresServer::get().place("a", "bare", "limited");
  }
  int64_t version_ = 0;
};

TEST_F(WithoutPgvector, ASuperuserIsAskedForIt) {
  EXPECT_FALSE(store_exists(place_));
  for (const auto& action : {std::function<void()>([&] { create_store(place_, {.width = 4}); }),
                             std::function<void()>([&] { open_store(place_); }),
                             std::function<void()>([&] { open_store_writer(place_); })}) {
    const std::string said = error_of(action);
    EXPECT_THAT(said, HasSubstr("pgvector is not switched on in this database"));
    EXPECT_THAT(said, HasSubstr("CREATE EXTENSION vector"));
  }
  create_store(PostgresServer::get().place("a", "bare"), {.width = 4});  // a superuser does it
  EXPECT_TRUE(store_exists(PostgresServer::get().place("a", "bare")));
  EXPECT_THAT(
      error_of(
          [&] { create_store(PostgresServer::get().place("b", "bare", "limited"), {.width = 4}); },
          1),
      HasSubstr("does not allow it"));
}

TEST_F(WithoutPgvector, AServerThatHasNoneSaysWhereToGetIt) {
  if (version_ < 180'000) GTEST_SKIP() << "only PostgreSQL 18 can be told to look elsewhere";
  PostgresConnection server(parse_postgres_address(PostgresServer::get().place("any", "postgres")),
                            WhenLost::kFail);
  server.execute("ALTER DATABASE bare SET extension_control_path = '/nowhere'");
  for (const auto& action : {std::function<void()>([&] { create_store(place_, {.width = 4}); }),
                             std::function<void()>([&] { store_exists(place_); }),
                             std::function<void()>([&] { open_store(place_); })}) {
    const std::string said = error_of(action);
    EXPECT_THAT(said, HasSubstr("the database server has no pgvector"));
    EXPECT_THAT(said, HasSubstr("apt.postgresql.org"));
  }
}

TEST_F(InPostgres, WhatIsNotThereIsSaidInALine) {
  make();
  EXPECT_THAT(error_of([&] { make(); }), HasSubstr("just made an index of this name"));
  const PostgresServer& server = PostgresServer::get();
  EXPECT_THAT(error_of([&] { open_store(server.place("none")); }),
              HasSubstr("no index of this name"));
  EXPECT_THAT(error_of([&] { open_store(server.place("none", "nowhere")); }, 1),
              HasSubstr("\"nowhere\" does not exist"));
  EXPECT_THAT(error_of([] { open_store("postgres://%zz@h/d?index=a"); }),
              HasSubstr("not an address of a database"));
  EXPECT_THAT(error_of([&] { create_store(server.place("wide"), {.width = 20'000}); }),
              HasSubstr("pgvector takes 16000"));
  NewPicture wrong = made_up_picture(1);
  wrong.vector.pop_back();
  EXPECT_THAT(error_of([&] { open_store_writer(place_)->add(wrong); }),
              HasSubstr("47 numbers for an index of 48"));
}

}  // namespace
}  // namespace opencloc
