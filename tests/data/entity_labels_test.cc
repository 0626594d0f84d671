// The entities of a training: the table of classes, which entity a sample gets, and its text.
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/files.h"
#include "opencloc/data/entities/entity_files.h"
#include "opencloc/data/load/loader.h"
#include "tests/data/loader_fixture.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class EntityLabelsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write_file(folder_ / "classes.tsv",
               "class\tid\tname\timages\n0\tQ1\tcat\t9\n1\tQ2\tdog\t7\n2\tQ3\thorse\t5\n");
    fs::create_directories(folder_ / "base");
    EntityWriter writer(folder_ / "base");
    writer.add({.id = "Q1", .name = "cat", .type = "", .description = "feline mammal"}, {{"cat"}},
               "");
    writer.add({.id = "Q2", .name = "dog", .type = "", .description = ""}, {{"dog"}}, "");
    writer.finish({{"format", "test"}});
  }
  // 12 pictures: number i has the entities of kinds[i % 4].
  std::string shard() {
    static const std::vector<std::vector<std::string>> kinds = {
        {"Q1"}, {"Q1", "Q2", "Q3", "Q2"}, {}, {"Q9", "Q3"}};
    std::vector<Record> records = fixtures::numbered_records(0, 12);
    for (size_t i = 0; i < records.size(); ++i) {
      records[i].alt_text = "alt " + std::to_string(i);
      Json list = Json::array();
      for (const auto& id : kinds[i % 4]) list.push_back({{"id", id}, {"name", "name of " + id}});
      if (i % 4 != 2) records[i].extra["entities"] = list;
    }
    fixtures::write_shard(folder_ / "a.tar", records);
    return (folder_ / "a.tar").string();
  }
  static LoaderOptions options() {
    LoaderOptions options;
    options.batch_size = 12;
    options.seed = 3;
    options.sample.canvas.width = options.sample.canvas.height = 24;
    options.sample.context_length = 40;
    options.sample.regions_per_image = 2;
    return options;
  }
  std::vector<Batch> batches(const LoaderOptions& options, int count = 8) {
    const SampleStore store(shard(), skips_);
    Loader loader(store, tokenizer_, skips_, options);
    std::vector<Batch> all;
    for (int i = 0; i < count; ++i) all.push_back(loader.next().batch);
    unknown_ = loader.entities().unknown();
    return all;
  }
  std::string problem(const std::string& table) {
    write_file(folder_ / "wrong.tsv", table);
    return fixtures::error_of([&] { const EntityLabels labels(folder_ / "wrong.tsv"); });
  }
  // Of a batch: picture number -> what is true of it, the drawn one first.
  static std::vector<int64_t> truth(const Batch& batch, int64_t row) {
    std::vector<int64_t> all{batch.entity[row].item<int64_t>()};
    for (auto at = batch.entity_others_begin[row].item<int64_t>();
         at < batch.entity_others_begin[row + 1].item<int64_t>(); ++at)
      all.push_back(batch.entity_others[at].item<int64_t>());
    return all;
  }
  static int64_t kind(const Batch& batch, int64_t row) {
    const auto& key = batch.keys[static_cast<size_t>(row)];
    return std::stol(key.substr(key.find("sample") + 6)) % 4;
  }

  fixtures::TempFolder folder_;
  fixtures::LetterTokenizer tokenizer_;
  SkipCounter skips_{0};
  int64_t unknown_ = 0;
};

TEST_F(EntityLabelsTest, SaysWhatIsWrongWithATable) {
  const std::string head = "class\tid\tname\timages\n";
  EXPECT_THAT(problem(head + "0\tQ1\tcat\n"), HasSubstr("wrong.tsv line 2"));
  EXPECT_THAT(problem(head + "0\tQ1\tcat\n"), HasSubstr("3 fields, the header 4"));
  EXPECT_THAT(problem(head + "0\tQ1\tcat\t3\n1\tQ1\tdog\t2\n"),
              HasSubstr("id 'Q1' is there twice"));
  EXPECT_THAT(problem(head + "1\tQ1\tcat\t3\n"), HasSubstr("class '1' where class 0 should come"));
  EXPECT_THAT(problem(head + "0\t\tcat\t3\n"), HasSubstr("a class has no id"));
  EXPECT_THAT(problem(head), HasSubstr("no class"));
  EXPECT_THAT(problem("id\tname\n"), HasSubstr("no column 'class'"));
}

TEST_F(EntityLabelsTest, OneEntityIsDrawnAndTheOthersAreKnown) {
  LoaderOptions with = options();
  with.sample.entities = std::make_shared<EntityLabels>(folder_ / "classes.tsv");
  std::set<int64_t> drawn;
  const auto all = batches(with);
  for (const Batch& batch : all) {
    for (int64_t row = 0; row < batch.images(); ++row) {
      auto known = truth(batch, row);
      switch (kind(batch, row)) {
        case 0:
          EXPECT_THAT(known, ElementsAre(0));
          break;
        case 1:
          drawn.insert(known[0]);
          std::sort(known.begin(), known.end());
          EXPECT_THAT(known, ElementsAre(0, 1, 2));
          break;
        case 2:
          EXPECT_THAT(known, ElementsAre(-1));
          break;
        default:
          EXPECT_THAT(known, ElementsAre(2)) << "Q9 is no class";
      }
    }
  }
  EXPECT_EQ(drawn.size(), 3U) << "each of a picture's entities gets its turn";
  EXPECT_GE(unknown_, 8 * 3) << "ids that are no classes are counted";

  // Everything else is drawn as without entities, by however many workers.
  const auto without = batches(options());
  with.workers = 3;
  const auto again = batches(with);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_TRUE(torch::equal(all[i].pixels, without[i].pixels));
    EXPECT_TRUE(torch::equal(all[i].text_ids, without[i].text_ids));
    EXPECT_TRUE(torch::equal(all[i].boxes, without[i].boxes));
    EXPECT_FALSE(without[i].entity.defined());
    EXPECT_TRUE(torch::equal(all[i].entity, again[i].entity));
    EXPECT_TRUE(torch::equal(all[i].entity_others, again[i].entity_others));
  }
}

TEST_F(EntityLabelsTest, TextsAreWhatIsWanted) {
  LoaderOptions with = options();
  with.sample.caption_from = CaptionFrom::kAltText;
  const auto first = batches(with, 1);
  for (const auto& text : first[0].texts) EXPECT_THAT(text, StartsWith("alt "));

  with.sample.caption_from = CaptionFrom::kEntities;
  with.sample.entities = std::make_shared<EntityLabels>(folder_ / "classes.tsv", folder_ / "base");
  const std::vector<std::string> names = {"name of Q1", "name of Q2", "name of Q3"};
  std::map<std::string, int> seen;
  for (const Batch& batch : batches(with)) {
    for (int64_t row = 0; row < batch.images(); ++row) {
      const auto& text = batch.texts[static_cast<size_t>(row)];
      const auto entity = batch.entity[row].item<int64_t>();
      ++seen[text];
      if (entity < 0) {
        EXPECT_EQ(text, "") << "its regions train";
        EXPECT_FALSE(batch.has_text[row].item<bool>());
      } else {
        EXPECT_THAT(text, StartsWith(names[static_cast<size_t>(entity)]));
      }
    }
    // Equal texts have equal numbers, others have not.
    for (int64_t i = 0; i < batch.images(); ++i)
      for (int64_t j = 0; j < batch.images(); ++j)
        EXPECT_EQ(batch.text_id[i].item<int64_t>() == batch.text_id[j].item<int64_t>(),
                  batch.texts[static_cast<size_t>(i)] == batch.texts[static_cast<size_t>(j)]);
  }
  EXPECT_GT(seen["name of Q1"], 0);
  EXPECT_GT(seen["name of Q1: feline mammal"], 0) << "half of the time";
  EXPECT_EQ(seen.size(), 5U) << "only Q1 has a description";
}

TEST_F(EntityLabelsTest, PicturesServeWhereTheyHaveSomethingToLearn) {
  LoaderOptions with = options();
  with.sample.entities = std::make_shared<EntityLabels>(folder_ / "classes.tsv");
  with.sample.regions_per_image = 0;
  with.sample.caption_from = CaptionFrom::kEntities;
  for (const Batch& batch : batches(with, 3)) EXPECT_FALSE(batch.has_text.defined());
  EXPECT_THAT(skips_.summary(), HasSubstr("no text"));
  with.sample.caption_from = CaptionFrom::kCaption;
  with.sample.entity_loss = EntityLossUse::kOnly;
  for (const Batch& batch : batches(with, 3)) EXPECT_TRUE(batch.entity.ge(0).all().item<bool>());
  EXPECT_THAT(skips_.summary(), HasSubstr("no entity"));
}

TEST_F(EntityLabelsTest, MosaicsKnowTheEntitiesOfAllTiles) {
  LoaderOptions with = options();
  with.sample.entities = std::make_shared<EntityLabels>(folder_ / "classes.tsv");
  with.sample.mosaic = 1;
  int64_t with_several = 0;
  for (const Batch& batch : batches(with, 4)) {
    for (int64_t row = 0; row < batch.images(); ++row) {
      const auto known = truth(batch, row);
      const std::set<int64_t> distinct(known.begin(), known.end());
      EXPECT_EQ(distinct.size(), known.size());
      if (known.size() == 1) continue;
      EXPECT_GE(*distinct.begin(), 0);
      ++with_several;
    }
  }
  EXPECT_GT(with_several, 0);
}

}  // namespace
}  // namespace opencloc
