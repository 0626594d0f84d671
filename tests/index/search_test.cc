#include "opencloc/index/search.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "small_index.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

using fixtures::error_of;
using fixtures::every_picture;
using fixtures::kSmallWidth;
using fixtures::made_up_picture;
using fixtures::made_up_vector;
using fixtures::SmallIndex;
using fixtures::unit;
using ::testing::HasSubstr;

// `share` of a, the rest b.
std::vector<float> between(const std::vector<float>& a, const std::vector<float>& b, float share) {
  std::vector<float> mixed;
  for (size_t i = 0; i < a.size(); ++i) mixed.push_back(share * a[i] + (1 - share) * b[i]);
  return unit(std::move(mixed));
}

SearchResult search_one(const IndexReader& index, const std::vector<float>& query,
                        const SearchOptions& options) {
  return search(index, {&query, 1}, options).front();
}

TEST(Search, FindsWhatABruteForceSearchFinds) {
  const SmallIndex small;
  small.add(0, 150);
  small.add(150, 400);
  const IndexReader index(small.path());
  std::vector<std::vector<float>> queries;
  for (uint64_t q = 0; q < 40; ++q) queries.push_back(made_up_vector(77'000 + q));
  for (const auto unit : {SearchUnit::kPicture, SearchUnit::kRegion, SearchUnit::kBoth}) {
    const auto results = search(index, queries, {.unit = unit, .k = 12, .fold = false});
    for (size_t q = 0; q < queries.size(); ++q) {
      const auto best = every_picture(index, queries[q], unit, 400);
      ASSERT_EQ(results[q].hits.size(), 12u);
      for (size_t i = 0; i < 12; ++i) {
        EXPECT_EQ(results[q].hits[i].picture, best[i].second) << q << " " << i;
        EXPECT_EQ(results[q].hits[i].best.score, best[i].first);
        EXPECT_EQ(results[q].hits[i].rank, static_cast<int64_t>(i) + 1);
      }
    }
  }
}

TEST(Search, APictureIsItsOwnBestHit) {
  const SmallIndex small;
  small.add(0, 50);
  const IndexReader index(small.path());
  const auto result = search_one(index, made_up_picture(33).vector, {.unit = SearchUnit::kPicture});
  EXPECT_EQ(result.hits.at(0).picture, 34);
  EXPECT_NEAR(result.hits[0].best.score, 1, 0.001);
  EXPECT_EQ(result.hits[0].best.region, 0);
  EXPECT_EQ(result.hits[0].best.box, (Box{0, 0, 1, 1}));
  EXPECT_NEAR(result.hits[0].best.z, (result.hits[0].best.score - result.median) / result.deviation,
              1e-9);
  EXPECT_GT(result.hits[0].best.z, 3);
}

TEST(Search, KMeansKHoweverManyRegionsOnePictureHas) {
  const SmallIndex small;
  const auto query = made_up_vector(1);
  {
    IndexWriter writer(small.path());
    NewPicture crowd = made_up_picture(0);
    for (int i = 0; i < 3000; ++i) {  // all better than what follows
      const float x = static_cast<float>(i % 50) / 50;
      crowd.regions.push_back(
          {{x, 0, x + 0.02f, 1}, "", between(query, made_up_vector(10'000u + i), 0.8f)});
    }
    writer.add(crowd);
    for (int i = 1; i < 100; ++i) writer.add(made_up_picture(i));
    writer.commit();
  }
  const IndexReader index(small.path());
  const auto result = search_one(index, query, {.k = 20});
  ASSERT_EQ(result.hits.size(), 20u);
  EXPECT_EQ(result.hits[0].picture, 1);
  std::set<int64_t> pictures;
  for (const Hit& hit : result.hits) pictures.insert(hit.picture);
  EXPECT_EQ(pictures.size(), 20u);
  EXPECT_EQ(result.hits[0].more.size(), 3u);
}

TEST(Search, FurtherRegionsOverlapLittle) {
  const SmallIndex small;
  const auto query = made_up_vector(1);
  {
    IndexWriter writer(small.path());
    NewPicture picture = made_up_picture(0);
    const Box boxes[] = {{0, 0, 0.5f, 0.5f},      // best
                         {0.05f, 0, 0.5f, 0.5f},  // nearly the same: not shown
                         {0.5f, 0.5f, 1, 1},      // another
                         {0.5f, 0.5f, 1, 0.9f},   // nearly that
                         {0, 0.5f, 0.4f, 1}};
    float share = 0.9f;
    for (const Box& box : boxes)
      picture.regions.push_back({box, "", between(query, made_up_vector(5), share -= 0.05f)});
    writer.add(picture);
    writer.commit();
  }
  const auto hit = search_one(IndexReader(small.path()), query, {}).hits.at(0);
  EXPECT_EQ(hit.best.region, 1);
  ASSERT_EQ(hit.more.size(), 2u);
  EXPECT_EQ(hit.more[0].region, 3);
  EXPECT_EQ(hit.more[1].region, 5);
  EXPECT_GT(hit.more[0].score, hit.more[1].score);
}

class Duplicates : public ::testing::Test {
 protected:
  void SetUp() override {
    IndexWriter writer(small_.path());
    for (int i = 0; i < 40; ++i) {
      NewPicture picture = made_up_picture(4 * i);
      if (i >= 5 && i < 35)  // thirty of nearly one picture
        picture.vector = between(made_up_vector(3), made_up_vector(200u + i), 0.93f);
      writer.add(picture);
    }
    writer.commit();
  }
  SmallIndex small_;
};

TEST_F(Duplicates, AreFoldedWithTheirNumberAndNeverLost) {
  const IndexReader index(small_.path());
  const auto query = made_up_vector(3);
  const auto folded = search_one(index, query, {.unit = SearchUnit::kPicture, .k = 8});
  ASSERT_EQ(folded.hits.size(), 8u);
  EXPECT_EQ(folded.hits[0].duplicates.size(), 29u);
  EXPECT_EQ(folded.folded, 29);
  const auto all = search_one(index, query, {.unit = SearchUnit::kPicture, .k = 37, .fold = false});
  ASSERT_EQ(all.hits.size(), 37u);
  EXPECT_EQ(all.folded, 0);
  // The same pictures, in the same order.
  EXPECT_EQ(all.hits[0].picture, folded.hits[0].picture);
  EXPECT_EQ(all.hits[1].picture, folded.hits[0].duplicates[0]);
  EXPECT_EQ(all.hits[30].picture, folded.hits[1].picture);
}

TEST_F(Duplicates, TheThresholdIsACosineOfWholePictures) {
  const IndexReader index(small_.path());
  const auto result = search_one(index, made_up_vector(3),
                                 {.unit = SearchUnit::kPicture, .k = 8, .fold_at = 0.99999});
  EXPECT_EQ(result.folded, 0);
}

TEST(Search, HitsEndAtTheLeastScore) {
  const SmallIndex small;
  small.add(0, 100);
  const IndexReader index(small.path());
  const auto query = made_up_vector(5);
  const SearchOptions options{.unit = SearchUnit::kBoth, .k = 10};
  const auto all = search_one(index, query, options);
  SearchOptions cut = options;
  cut.min_score = all.hits[4].best.score;
  const auto some = search_one(index, query, cut);
  ASSERT_EQ(some.hits.size(), 5u);
  EXPECT_EQ(some.below, 5);
  EXPECT_EQ(some.hits[4].picture, all.hits[4].picture);
  for (const Hit& hit : some.hits) {
    for (const RegionHit& more : hit.more) EXPECT_GE(more.score, *cut.min_score);
  }
  cut.min_score = 2;
  EXPECT_TRUE(search_one(index, query, cut).hits.empty());
}

TEST(Search, TheCutFollowsTheQuerysOwnScores) {
  const SmallIndex small;
  const auto wanted = made_up_vector(5);
  {
    IndexWriter writer(small.path());
    for (int i = 0; i < 600; ++i) {
      NewPicture picture = made_up_picture(i);
      if (i == 10 || i == 20) picture.vector = between(wanted, made_up_vector(i), 0.7f);
      writer.add(picture);
    }
    writer.commit();
  }
  const IndexReader index(small.path());
  SearchOptions options{.unit = SearchUnit::kPicture, .k = 10};
  options.cut.mode = Cut::Mode::kAuto;
  const auto present = search_one(index, wanted, options);
  EXPECT_EQ(present.hits.size(), 2u);
  EXPECT_EQ(present.below, 8);
  EXPECT_NEAR(*present.cut_z, auto_cut(600), 1e-12);
  int false_hits = 0;
  for (uint64_t q = 0; q < 40; ++q) {
    const auto result = search_one(index, made_up_vector(50'000 + q), options);
    false_hits += static_cast<int>(result.hits.size());
  }
  EXPECT_LT(false_hits, 40);  // half a hit a query is expected
  options.cut = {Cut::Mode::kZ, 100};
  EXPECT_TRUE(search_one(index, wanted, options).hits.empty());
}

TEST(Search, TheAutomaticCutIsTheNormalsTail) {
  EXPECT_NEAR(auto_cut(1'000'000), 4.8916, 0.001);  // scipy.stats.norm.isf(0.5 / n)
  EXPECT_NEAR(auto_cut(1000), 3.2905, 0.001);
  EXPECT_NEAR(auto_cut(1), 0, 0.001);
}

TEST(Search, QueriesThatDoNotFitAreRefused) {
  const SmallIndex small;
  small.add(0, 3);
  const IndexReader index(small.path());
  EXPECT_THAT(error_of([&] { search_one(index, {1, 2}, {}); }), HasSubstr("a query of 2 numbers"));
  auto query = made_up_vector(1);
  query[3] = std::nanf("");
  EXPECT_THAT(error_of([&] { search_one(index, query, {}); }), HasSubstr("not finite"));
}

}  // namespace
}  // namespace opencloc
