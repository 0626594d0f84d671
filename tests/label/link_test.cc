// Mentions and links, with a fake CLIP.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/files.h"
#include "opencloc/base/rng.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/data/entities/make_entities.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/label/link_evaluation.h"
#include "opencloc/label/link_stage.h"
#include "opencloc/label/pipeline.h"
#include "opencloc/label/prototypes.h"
#include "opencloc/model/cloc/cloc.h"
#include "tests/data/tar_maker.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::TempFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kDims = 16;

// A picture's embedding follows its first pixel; texts point at axes by a hash of their name, and
// texts about cars at the axis of red pictures.
class FakeEncoder : public EntityEncoder {
 public:
  torch::Tensor pictures(const std::vector<const Image*>& pictures) override {
    auto rows = torch::zeros({static_cast<int64_t>(pictures.size()), kDims});
    for (size_t i = 0; i < pictures.size(); ++i) {
      const auto row = static_cast<int64_t>(i);
      rows[row][pictures[i]->pixels[0] / 16] = 1;
      rows[row][15] = 0.2;
    }
    return normalized(rows);
  }
  torch::Tensor texts(const std::vector<std::string>& texts) override {
    auto rows = torch::zeros({static_cast<int64_t>(texts.size()), kDims});
    for (size_t i = 0; i < texts.size(); ++i) {
      asked_.push_back(texts[i]);
      uint64_t hash = 7;
      for (const char c : texts[i]) hash = mix64(hash ^ static_cast<uint8_t>(c));
      const auto row = static_cast<int64_t>(i);
      rows[row][static_cast<int64_t>(hash % 14)] = 1;
    }
    return normalized(rows);
  }
  Json config() const override { return "fake"; }
  std::vector<std::string> asked_;
};

class Link : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string entities = "id\tname\ttype\tpopularity\tdescription\n";
    std::string aliases = "alias\tid\tprior\n";
    const auto add = [&](const std::string& id, const std::string& type,
                         const std::vector<std::pair<std::string, std::string>>& names) {
      entities += id + "\t" + names[0].first + "\t" + type + "\t\tit is " + id + "\n";
      for (const auto& [alias, prior] : names) aliases += alias + "\t" + id + "\t" + prior + "\n";
    };
    add("apple-fruit", "food", {{"apple", "0.7"}});
    add("apple-tree", "plant", {{"apple tree", "1"}, {"apple", "0.3"}});
    add("apple-firm", "firm", {{"Apple", "1"}});
    add("bird-of-paradise", "animal", {{"bird of paradise", "1"}});
    add("jaguar-cat", "animal", {{"jaguar", "0.4"}, {"panther", "1"}});
    add("jaguar-car", "artifact", {{"jaguar", "0.6"}});
    add("spectacles", "artifact", {{"glasses", "1"}});
    add("glass", "artifact", {{"glass", "1"}});
    add("berry", "food", {{"berry", "1"}});
    add("photo", "artifact", {{"photo", "1"}, {"photograph", "1"}});
    add("red", "color", {{"red", "1"}});
    for (int i = 0; i < 9; ++i)
      add("thing" + std::to_string(i), "artifact", {{"thing" + std::to_string(i), "1"}});
    write_file(folder_ / "in/entities.tsv", entities);
    write_file(folder_ / "in/aliases.tsv", aliases);
    MakeEntitiesOptions options;
    options.format = "tsv";
    options.source = folder_ / "in";
    make_entities(options, folder_ / "base");
    table_ =
        std::make_shared<const AliasTable>(std::make_shared<const EntityBase>(folder_ / "base"));
  }
  std::vector<std::string> ids(std::string_view mention) const {
    std::vector<std::string> all;
    for (const auto& one : table_->candidates(mention))
      all.emplace_back(table_->base()[one.entity].id);
    return all;
  }
  std::vector<std::string> found(std::string_view text) const {
    static const auto finder = [this] { return std::make_unique<MentionFinder>(table_); };
    MentionCounts counts;
    std::vector<std::string> all;
    for (const auto& one : finder()->find(text, counts)) all.push_back(one.text);
    return all;
  }
  std::string entity_id(const LinkScore& score) const {
    return score.entity < 0 ? "none" : std::string(table_->base()[score.entity].id);
  }
  TempFolder folder_;
  std::shared_ptr<const AliasTable> table_;
};

TEST_F(Link, AliasesAreFoundWhateverTheirCaseAndNumber) {
  EXPECT_THAT(ids("apple"), ElementsAre("apple-fruit", "apple-tree", "apple-firm"));
  EXPECT_EQ(ids("Apple").front(), "apple-firm");
  EXPECT_EQ(ids("apples").front(), "apple-fruit");
  EXPECT_THAT(ids("Glasses"), ElementsAre("spectacles"));  // before the plural of glass
  EXPECT_THAT(ids("glass"), ElementsAre("glass"));
  EXPECT_THAT(ids("berries"), ElementsAre("berry"));
  EXPECT_THAT(ids("bird-of-paradise"), ElementsAre("bird-of-paradise"));
  EXPECT_THAT(ids("pear"), ElementsAre());
  EXPECT_THAT(ids(""), ElementsAre());
  double sum = 0;
  for (const auto& one : table_->candidates("apple")) sum += one.prior;
  EXPECT_NEAR(sum, 1, 1e-6);
  EXPECT_EQ(table_->longest(), 3U);
}

TEST_F(Link, MentionsAreTheLongestAliasesInsideNounPhrases) {
  EXPECT_THAT(found("an apple tree beside a jaguar"), ElementsAre("apple tree", "jaguar"));
  EXPECT_THAT(found("a bird of paradise in a red apple tree"),
              ElementsAre("bird of paradise", "apple tree"));  // not red, an attribute
  EXPECT_THAT(found("a photo of two Apples"), ElementsAre("Apples"));
  EXPECT_THAT(found("IMG_apple.jpg"), ElementsAre());
  EXPECT_THAT(found(""), ElementsAre());
  MentionCounts counts;
  const auto mentions = MentionFinder(table_).find("caf\xc3\xa9 \xe2\x80\x93 an apple", counts);
  ASSERT_EQ(mentions.size(), 1U);
  EXPECT_EQ(mentions[0].begin, 10U);  // characters, not bytes
  EXPECT_EQ(mentions[0].end, 15U);
  EXPECT_EQ(counts.ambiguous, 1);
}

TEST_F(Link, WeightsAndThresholdsAreReadOrRefused) {
  const LinkWeights weights = parse_link_weights("prior:2,image:0.5,seen:3");
  EXPECT_EQ(weights.prior, 2);
  EXPECT_EQ(weights.context, 0);
  EXPECT_EQ(weights.image, 0.5);
  EXPECT_EQ(weights.seen, 3);
  for (const char* bad : {"prior:x", "looks:1", "prior:-1", "", "prior:0"})
    EXPECT_THAT(fixtures::error_of([&] { parse_link_weights(bad); }), HasSubstr("setting 'link="));
  EXPECT_EQ(parse_image_threshold("p90").value, 90);
  EXPECT_EQ(parse_image_threshold("0.2").kind, ImageThreshold::Kind::kCosine);
  EXPECT_EQ(to_string(parse_image_threshold("off")), "off");
  for (const char* bad : {"p101", "x", "2", "p", ""})
    EXPECT_THAT(fixtures::error_of([&] { parse_image_threshold(bad); }),
                HasSubstr("min_image_score"));
}

TEST_F(Link, WithoutAClipThePriorDecides) {
  LinkOptions options;
  EXPECT_THAT(fixtures::error_of([&] { Linker(table_, nullptr, options); }), HasSubstr("'clip'"));
  options.weights = {1, 0, 0};
  options.min_image = parse_image_threshold("off");
  Linker linker(table_, nullptr, options);
  const auto linked = linker.link({{"jaguar", 0, 6}, {"pear", 7, 11}}, {});
  EXPECT_EQ(entity_id(linked.chosen[0]), "jaguar-car");
  EXPECT_EQ(entity_id(linked.chosen[1]), "none");
  EXPECT_NEAR(linked.chosen[0].score, std::log(0.6), 1e-6);
  EXPECT_EQ(linked.mentions[0].choices.at("prior"), "jaguar-car");
  EXPECT_TRUE(linker.keeps(linked.chosen[0]));
}

TEST_F(Link, TheOtherMentionsDecideByVectorsOfTheBase) {
  // Vectors of the user's: the cat lies near the bird, the car does not.
  const int64_t n = table_->base().size();
  auto vectors = torch::zeros({n, 8});
  for (int64_t i = 0; i < n; ++i) vectors[i][2 + i % 6] = 1;
  const auto set = [&](const char* id, int64_t axis) {
    const auto row = *table_->base().row_of(id);
    vectors[row].zero_();
    vectors[row][axis] = 1;
  };
  set("jaguar-cat", 0);
  set("bird-of-paradise", 0);
  set("jaguar-car", 1);
  write_safetensors(folder_ / "base" / kEntityVectors,
                    {{"entity_vectors", vectors.to(torch::kHalf)}});
  LinkOptions options;
  options.weights = {1, 1, 0};
  options.min_image = parse_image_threshold("off");
  Linker linker(table_, nullptr, options);
  const auto alone = linker.link({{"jaguar", 0, 6}}, {});
  EXPECT_EQ(entity_id(alone.chosen[0]), "jaguar-car");
  EXPECT_FALSE(alone.chosen[0].context);
  const auto both = linker.link({{"jaguar", 0, 6}, {"bird of paradise", 9, 20}}, {});
  EXPECT_EQ(entity_id(both.chosen[0]), "jaguar-cat");
  EXPECT_NEAR(*both.chosen[0].context, 1, 1e-3);
  EXPECT_EQ(both.mentions[0].choices.at("prior"), "jaguar-car");
  EXPECT_EQ(both.mentions[0].choices.at("context"), "jaguar-cat");
  write_safetensors(folder_ / "base" / kEntityVectors, {{"entity_vectors", torch::zeros({3, 8})}});
  EXPECT_THAT(fixtures::error_of([&] { Linker(table_, nullptr, options); }), HasSubstr("one row"));
}

TEST_F(Link, PrototypesAreMeansOfTheirPicturesLessTheMeanOfAll) {
  const auto pictures = torch::eye(4);
  const auto made = make_prototypes(pictures, {{0, 5}, {1, 5}, {2, 7}, {3, 5}}, 2);
  EXPECT_THAT(made.entities, ElementsAre(5));
  const auto expected = normalized(
      (pictures.index_select(0, torch::tensor({0, 1, 3})).mean(0) - pictures.mean(0)).unsqueeze(0));
  EXPECT_TRUE(torch::allclose(made.vectors, expected));
  EXPECT_FALSE(make_prototypes(pictures, {{0, 1}}, 2).known());
  const Evidence among =
      place_among(EvidenceKind::kText, 0.5, torch::tensor({0.0F, 0.2F, 0.4F, 0.6F}));
  EXPECT_NEAR(among.percentile, 75, 1e-6);
  EXPECT_NEAR(among.standard, 0.2 / std::sqrt(0.05), 1e-3);
}

// "thing0" ... "thing8" stand on pictures of their own colour; "panther" (unambiguous) and "jaguar"
// on one more. So pictures tell that the jaguars are cats.
class LinkedShards : public Link {
 protected:
  void write_shards() {
    fs::create_directories(folder_ / "data");
    ShardWriter writer(folder_ / "data" / "00000.tar");
    int64_t n = 0;
    const auto put = [&](const std::string& text, int shade, const std::string& id) {
      Record record = fixtures::make_test_record("k" + std::to_string(n++), "");
      record.caption.clear();
      record.alt_text = text;
      record.image = fixtures::tiny_ppm(8, 8, static_cast<unsigned char>(16 * shade));
      record.extra["truth"] =
          Json::array({{{"span", {2, text.size()}}, {"id", id}, {"visible", text != "a thing0"}}});
      writer.write(record);
    };
    for (int i = 0; i < 9; ++i) {
      for (int k = 0; k < 4; ++k)
        put("a thing" + std::to_string(i), i, "thing" + std::to_string(i));
    }
    for (int k = 0; k < 4; ++k) put("a panther", 10, "jaguar-cat");
    for (int k = 0; k < 6; ++k) put("a jaguar", 10, "jaguar-cat");
    put("nothing here", 11, "nothing");
    writer.commit();
  }
  LabelOptions run(const std::string& out) const {
    LabelOptions options;
    options.shards = {(folder_ / "data" / "00000.tar").string()};
    options.out = folder_ / out;
    options.batch_size = 5;
    return options;
  }
  LabelSummary label(const std::string& out, const LinkOptions& options, bool overwrite = false) {
    auto linker = std::make_shared<Linker>(table_, std::make_shared<FakeEncoder>(), options);
    std::vector<std::unique_ptr<Stage>> before, stages;
    before.push_back(mention_stage(table_, {.text = MentionText::kAltText}));
    stages.push_back(mention_stage(table_, {.text = MentionText::kAltText}));
    PrototypeOptions prototypes;
    prototypes.shards = run(out).shards;
    fs::create_directories(folder_ / out);
    prepare_prototypes(*linker, prototypes, before, folder_ / out / "prototypes.safetensors",
                       overwrite);
    stages.push_back(link_stage(linker));
    return label_shards(run(out), stages);
  }
  LinkEvaluation against(const std::string& out) const {
    SkipCounter skips;
    return evaluate_links({(folder_ / out / "00000.tar").string()}, *table_, {.key = "truth"},
                          skips);
  }
  std::vector<Record> records(const std::string& out) const {
    SkipCounter skips;
    ShardReader reader((folder_ / out / "00000.tar").string(), skips);
    std::vector<Record> all;
    for (Record record; reader.next(record);) all.push_back(record);
    return all;
  }
};

TEST_F(LinkedShards, PicturesOfPanthersTellThatJaguarsAreCats) {
  write_shards();
  LinkOptions options;
  options.min_image = parse_image_threshold("off");
  label("out", options);
  const auto all = records("out");
  ASSERT_EQ(all.size(), 47U);
  const Json& jaguar = all[42].extra.at("entities");
  ASSERT_EQ(jaguar.size(), 1U);
  EXPECT_EQ(jaguar[0]["id"], "jaguar-cat");
  EXPECT_EQ(jaguar[0]["mention"], "jaguar");
  EXPECT_EQ(jaguar[0]["span"], Json({2, 8}));
  EXPECT_EQ(jaguar[0]["image_by"], "prototype");
  EXPECT_GT(jaguar[0]["image"].get<double>(), 0.9);
  EXPECT_EQ(all[42].extra.at("entity_mentions")[0]["choices"]["prior"], "jaguar-car");
  EXPECT_EQ(all[42].extra.at("vesl")["entities"]["clip"], "fake");
  EXPECT_TRUE(all[46].extra.at("entities").empty());
  const Json report = read_json(folder_ / "out" / "00000.tar.report.json");
  EXPECT_EQ(report["stages"]["link"]["linked"], 46);
  EXPECT_EQ(report["stages"]["link"]["changed_by_image"], 6);
  EXPECT_EQ(report["stages"]["mentions"]["ambiguous_mentions"], 6);
  EXPECT_EQ(report["stages"]["mentions"]["texts"], 47);  // the pass before is not counted

  const LinkEvaluation result = against("out");
  EXPECT_EQ(result.mentions.answers, 46);
  EXPECT_EQ(result.mentions.right, 46);
  EXPECT_EQ(result.mentions.wanted, 47);
  EXPECT_EQ(result.linked.at("prior").right, 40);
  EXPECT_EQ(result.linked.at("prior").ambiguous_right, 0);
  EXPECT_EQ(result.linked.at("image").right, 46);
  EXPECT_EQ(result.kept.right, 42);  // thing0 is not visible, by the truth
  EXPECT_EQ(result.kept.wanted, 43);
}

TEST_F(LinkedShards, AnEntityOfThePictureIsFoundOnceHoweverOftenItIsNamed) {
  fs::create_directories(folder_ / "data");
  ShardWriter writer(folder_ / "data" / "00000.tar");
  for (const char* text : {"a panther and a panther", "a berry"}) {
    Record record = fixtures::make_test_record(text, "");
    record.alt_text = text;
    record.extra["truth"] = "jaguar-cat";
    writer.write(record);
  }
  writer.commit();
  LinkOptions options;
  options.min_image = parse_image_threshold("off");
  label("out", options);
  const LinkEvaluation result = against("out");
  EXPECT_EQ(result.mentions.answers, 3);
  EXPECT_EQ(result.mentions.right, 2);
  EXPECT_EQ(result.mentions.wanted, 2);
  EXPECT_DOUBLE_EQ(result.mentions.recall(), 0.5);
  EXPECT_DOUBLE_EQ(result.linked.at("prior").recall(), 0.5);
}

TEST_F(LinkedShards, OfManyPrototypesSomeAreEnoughToCompareWith) {
  write_shards();
  LinkOptions options;
  options.min_image = parse_image_threshold("off");
  options.evidence.most_compared = 3;  // of ten
  label("out", options);
  const auto all = records("out");
  EXPECT_EQ(all[42].extra.at("entities")[0]["id"], "jaguar-cat");
  EXPECT_GT(all[42].extra.at("entities")[0]["image"].get<double>(), 0.9);
}

TEST_F(LinkedShards, WhatTheDataIsAboutCountsToo) {
  write_shards();
  LinkOptions options;
  options.weights = {1, 0, 0, 1};  // the four panthers are cats: 0.4 x 5 > 0.6
  options.min_image = parse_image_threshold("off");
  label("out", options);
  EXPECT_EQ(records("out")[42].extra.at("entities")[0]["id"], "jaguar-cat");
  const std::string first = read_file(folder_ / "out" / "00000.tar");
  fs::remove(folder_ / "out" / "00000.tar.report.json");
  label("out", options);  // from the file of prototypes
  EXPECT_EQ(read_file(folder_ / "out" / "00000.tar"), first);
}

TEST_F(LinkedShards, AgainTheSamePrototypesAndOthersAreRefused) {
  write_shards();
  LinkOptions options;
  options.min_image = parse_image_threshold("off");
  label("out", options);
  const std::string first = read_file(folder_ / "out" / "00000.tar");
  fs::remove(folder_ / "out" / "00000.tar.report.json");
  label("out", options);
  EXPECT_EQ(read_file(folder_ / "out" / "00000.tar"), first);
  options.rounds = 1;
  EXPECT_THAT(fixtures::error_of([&] { label("out", options); }), HasSubstr("other settings"));
  write_file(folder_ / "out" / "prototypes.safetensors", "no tensors");
  EXPECT_THAT(fixtures::error_of([&] { label("out", options); }), HasSubstr("prototypes"));
}

TEST_F(LinkedShards, APictureThatDoesNotShowItLosesIt) {
  write_shards();
  {  // one more shard, in which a jaguar's picture is that of thing3
    ShardWriter writer(folder_ / "data" / "00000.tar");
    for (int i = 0; i < 40; ++i) {
      const bool wrong = i == 39;
      const int shade = wrong ? 3 : i % 10;
      Record record = fixtures::make_test_record("k" + std::to_string(i), "");
      record.caption.clear();
      const int name = wrong ? 9 : i % 10;
      record.alt_text = name == 9 ? "a panther" : "a thing" + std::to_string(name);
      record.image = fixtures::tiny_ppm(8, 8, static_cast<unsigned char>(16 * shade));
      writer.write(record);
    }
    writer.commit();
  }
  LinkOptions options;
  options.min_image = parse_image_threshold("p90");
  label("out", options);
  const auto all = records("out");
  EXPECT_EQ(all[29].extra.at("entities").size(), 1U);
  EXPECT_EQ(all[39].extra.at("entities").size(), 0U);
  EXPECT_EQ(all[39].extra.at("entity_mentions").size(), 1U);
  EXPECT_EQ(read_json(folder_ / "out" / "00000.tar.report.json")["stages"]["link"]["not_seen"], 1);
}

TEST_F(LinkedShards, LinkingWithoutMentionsIsAnError) {
  write_shards();
  LinkOptions options;
  options.weights = {1, 0, 0};
  options.min_image = parse_image_threshold("off");
  std::vector<std::unique_ptr<Stage>> stages;
  stages.push_back(link_stage(std::make_shared<Linker>(table_, nullptr, options)));
  EXPECT_THAT(fixtures::error_of([&] { label_shards(run("out"), stages); }, 1),
              HasSubstr("stages=mentions,link"));
  EXPECT_FALSE(fs::exists(folder_ / "out" / "00000.tar"));
}

TEST_F(LinkedShards, MentionsOfAnotherFormAreSkippedAndCounted) {
  fs::create_directories(folder_ / "data");
  ShardWriter writer(folder_ / "data" / "00000.tar");
  Record record = fixtures::make_test_record("k", "an apple");
  record.extra["entity_mentions"] = Json::array({{{"mention", "apple"}}});
  writer.write(record);
  writer.commit();
  LinkOptions options;
  options.weights = {1, 0, 0};
  options.min_image = parse_image_threshold("off");
  std::vector<std::unique_ptr<Stage>> stages;
  stages.push_back(link_stage(std::make_shared<Linker>(table_, nullptr, options)));
  label_shards(run("out"), stages);
  EXPECT_EQ(
      read_json(folder_ / "out" / "00000.tar.report.json")["skipped"][std::string(skip::kBadJson)],
      1);
  SkipCounter skips;
  EXPECT_THAT(fixtures::error_of([&] {
                evaluate_links({(folder_ / "data" / "00000.tar").string()}, *table_,
                               {.key = "truth"}, skips);
              }),
              HasSubstr("no record has a key 'truth'"));
}

}  // namespace
}  // namespace opencloc
