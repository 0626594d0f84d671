// The tasks that look at image embeddings, through evaluate().
#include <map>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>
#include <unistd.h>

#include "opencloc/eval/average_precision.h"
#include "opencloc/eval/evaluate.h"
#include "opencloc/eval/knn.h"
#include "opencloc/eval/linear_probe.h"
#include "opencloc/eval/record_value.h"
#include "opencloc/model/clip/preprocess.h"
#include "tests/error_of.h"
#include "tests/eval/tiny_world.h"

namespace opencloc {
namespace {

using ::testing::HasSubstr;

// Records of drawn_records() with a group each and keys of every kind.
std::vector<Record> grouped_records() {
  auto records = fixtures::drawn_records(70);
  for (size_t i = 0; i < records.size(); ++i) {
    records[i].extra["group"] = i % 3 == 0 ? "sketch" : "faces";
    records[i].extra["weather"] = i % 2 == 0 ? "rain" : "sun";
    records[i].extra["year"] = 2000 + i % 3;
    records[i].extra["tags"] = {"a", "list"};
  }
  records[4].label.reset();
  records[5].label = "yak";  // once
  records[5].extra.erase("group");
  return records;
}

class FeatureTasksTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("opencloc_feature_tasks_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_ / "train");
    std::filesystem::create_directories(folder_ / "test");
    records_ = grouped_records();
    fixtures::write_shard(folder_ / "train" / "0.tar", {records_.begin(), records_.begin() + 40});
    fixtures::write_shard(folder_ / "test" / "0.tar", {records_.begin() + 40, records_.end()});
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(folder_); }

  static std::string at(const std::string& name) { return (folder_ / name).string(); }
  static EvalOptions options_for(Task task, const std::string& train = {}) {
    EvalOptions options;
    options.tasks = {task};
    options.progress = false;
    options.workers = 2;
    if (!train.empty()) options.train_data = at(train);
    return options;
  }
  Json run(const EvalOptions& options, const std::string& data) {
    return evaluate(model_, tokenizer_, at(data), options);
  }
  // One picture at a time. -> [n, E]
  torch::Tensor embeddings(const std::vector<Record>& records) {
    const torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> rows;
    for (const auto& record : records) {
      const auto input = preprocess(Image::decode(record.image, record.key), model_->config());
      rows.push_back(normalized(model_->encode_image(input.pixels.unsqueeze(0)).embedding)[0]);
    }
    return torch::stack(rows);
  }
  static std::vector<Record> labelled(size_t begin, size_t end) {
    std::vector<Record> found;
    for (size_t i = begin; i < end; ++i) {
      if (records_[i].label) found.push_back(records_[i]);
    }
    return found;
  }
  // Numbers of names in order of the alphabet of `all`.
  static torch::Tensor numbers(const std::vector<std::string>& names,
                               const std::vector<std::string>& all) {
    std::map<std::string, int64_t> number_of;
    for (const auto& name : all) number_of[name] = 0;
    int64_t next = 0;
    for (auto& [name, number] : number_of) number = next++;
    std::vector<int64_t> result;
    for (const auto& name : names) result.push_back(number_of.at(name));
    return torch::tensor(result, torch::kInt64);
  }
  static std::vector<std::string> labels_of(const std::vector<Record>& records) {
    std::vector<std::string> labels;
    for (const auto& record : records) labels.push_back(*record.label);
    return labels;
  }

  static std::filesystem::path folder_;
  static std::vector<Record> records_;
  Cloc model_ = fixtures::tiny_model();
  fixtures::ByteTokenizer tokenizer_;
};
std::filesystem::path FeatureTasksTest::folder_;
std::vector<Record> FeatureTasksTest::records_;

TEST_F(FeatureTasksTest, InstanceRetrievalIsThatOfTheLabelledPicturesByGroup) {
  const auto records = labelled(0, 40);
  ASSERT_EQ(records.size(), 39u);
  const auto labels = labels_of(records);
  const InstanceRanking ranking{embeddings(records), numbers(labels, labels)};
  const auto precisions = average_precisions(ranking);
  const Json results = run(options_for(Task::kInstanceRetrieval), "train");
  const Json& figures = results["instance_retrieval"];
  EXPECT_EQ(figures["n"], 39);
  EXPECT_EQ(figures["n_without_self"], 38);
  EXPECT_EQ(figures["classes"], 7);
  const Json all = instance_figures(ranking, precisions, torch::arange(39));
  for (const char* key :
       {"map_with_self", "chance_with_self", "map_without_self", "chance_without_self"})
    EXPECT_NEAR(figures[key].get<double>(), all[key].get<double>(), 1e-6) << key;
  EXPECT_GT(figures["map_with_self"], figures["map_without_self"]);
  ASSERT_EQ(figures["groups"].size(), 2u);
  for (const char* group : {"sketch", "faces"}) {
    std::vector<int64_t> rows;
    for (size_t i = 0; i < records.size(); ++i) {
      if (records[i].extra.value("group", "") == group) rows.push_back(static_cast<int64_t>(i));
    }
    const Json part = instance_figures(ranking, precisions, torch::tensor(rows));
    EXPECT_EQ(figures["groups"][group]["n"], rows.size());
    EXPECT_NEAR(figures["groups"][group]["map_without_self"].get<double>(),
                part["map_without_self"].get<double>(), 1e-6);
  }
  const std::string table = results_table(results);
  for (const char* part : {"mAP with the query itself", "mAP without it", "by chance", "sketch"})
    EXPECT_THAT(table, HasSubstr(part));
}

TEST_F(FeatureTasksTest, NeighboursOfTheTrainingData) {
  const auto known = labelled(0, 40);
  std::vector<Record> asked;
  int64_t left_out = 0;
  const auto known_labels = labels_of(known);
  for (const auto& record : labelled(40, 70)) {
    const bool is_known = std::count(known_labels.begin(), known_labels.end(), *record.label) > 0;
    if (is_known) asked.push_back(record);
    left_out += is_known ? 0 : 1;
  }
  const auto votes =
      neighbour_votes({embeddings(asked), embeddings(known), numbers(known_labels, known_labels)});
  const Json expected = vote_figures(votes, numbers(labels_of(asked), known_labels));
  const Json results = run(options_for(Task::kKnn, "train"), "test");
  const Json& figures = results["knn"];
  for (const auto& [key, value] : expected.items()) EXPECT_EQ(figures[key], value) << key;
  EXPECT_EQ(figures["n_train"], 39);
  EXPECT_EQ(figures["left_out"], left_out);
  EXPECT_EQ(figures["leave_one_out"], false);
  EXPECT_EQ(results["train"]["samples"], 40);
  EXPECT_EQ(results["samples"], 30);
  EXPECT_THAT(results_table(results), HasSubstr("k 200"));
}

TEST_F(FeatureTasksTest, NeighboursAmongThemselvesAreNeverThePictureItself) {
  const auto records = labelled(0, 40);
  const auto labels = labels_of(records);
  const auto rows = embeddings(records);
  const auto targets = numbers(labels, labels);
  const Json expected = vote_figures(neighbour_votes({rows, rows, targets, true}), targets);
  const Json alone = run(options_for(Task::kKnn), "train");
  EXPECT_EQ(alone["knn"]["leave_one_out"], true);
  for (const auto& [key, value] : expected.items()) EXPECT_EQ(alone["knn"][key], value) << key;
  EXPECT_FALSE(alone.contains("train"));
  // The same shards by another name.
  const Json named = run(options_for(Task::kKnn, "test/../train/*.tar"), "train");
  EXPECT_EQ(named["knn"], alone["knn"]);
  EXPECT_FALSE(named.contains("train"));
}

TEST_F(FeatureTasksTest, TheProbeLearnsWhatItIsAskedTo) {
  struct Probe {
    std::string key;
    size_t classes;
  };
  for (const auto& [key, classes] : std::vector<Probe>{
           {"label", 7}, {"weather", 2}, {"year", 3}, {"regions", 5}, {"quadrant", 4}}) {
    std::vector<std::string> known, asked;
    std::vector<Record> known_records, asked_records;
    for (size_t i = 0; i < records_.size(); ++i) {
      const auto value = record_value(records_[i], key);
      if (!value) continue;
      const bool is_known = i < 40;
      if (!is_known && std::count(known.begin(), known.end(), *value) == 0) continue;
      (is_known ? known : asked).push_back(*value);
      (is_known ? known_records : asked_records).push_back(records_[i]);
    }
    EvalOptions options = options_for(Task::kLinearProbe, "train");
    options.probe_label = key;
    options.seed = 3;
    const Json results = run(options, "test");
    ASSERT_TRUE(results.contains("linear_probe")) << key << dump_json(results);
    const Json& figures = results["linear_probe"];
    EXPECT_EQ(figures["probe_label"], key);
    EXPECT_EQ(figures["classes"], classes) << key;
    EXPECT_EQ(figures["n"], asked.size()) << key;
    EXPECT_EQ(figures["n_train"], known.size()) << key;
    const auto count = static_cast<int64_t>(classes);
    const Json expected = linear_probe_figures(
        {embeddings(known_records), numbers(known, known), count},
        {embeddings(asked_records), numbers(asked, known), count}, {.seed = 3});
    EXPECT_EQ(figures["lambda"], expected["lambda"]) << key;
    EXPECT_NEAR(figures["acc1"].get<double>(), expected["acc1"].get<double>(),
                1.5 / static_cast<double>(asked.size()))
        << key;
    EXPECT_THAT(results_table(results), HasSubstr("of '" + key + "', learned from"));
    EXPECT_EQ(dump_json(run(options, "test")), dump_json(results)) << key;
  }
}

TEST_F(FeatureTasksTest, TheMostFrequentClassIsTheTrainingDatas) {
  EvalOptions options = options_for(Task::kLinearProbe, "train");
  options.probe_label = "weather";
  const Json figures = run(options, "test")["linear_probe"];
  EXPECT_EQ(figures["majority"], 0.5);  // 20 and 20: the first one; 15 of 30
  EXPECT_EQ(figures["chance"], 0.5);
}

TEST_F(FeatureTasksTest, WhatCannotRunSaysWhy) {
  auto records = fixtures::drawn_records(4);
  for (auto& record : records) {
    record.label.reset();
    record.extra["same"] = "thing";
  }
  fixtures::write_shard(folder_ / "unlabelled.tar", records);
  EvalOptions options = options_for(Task::kInstanceRetrieval, "train");
  options.tasks = {Task::kInstanceRetrieval, Task::kKnn, Task::kLinearProbe};
  const Json results = run(options, "unlabelled.tar");
  EXPECT_EQ(results["not_run"]["instance_retrieval"], "no sample has a label");
  EXPECT_EQ(results["not_run"]["knn"], "no sample has a label");
  EXPECT_EQ(results["not_run"]["linear_probe"], "no sample has a value for 'label'");
  options.train_data = at("unlabelled.tar");
  options.probe_label = "same";
  const Json other = run(options, "test");
  EXPECT_EQ(other["not_run"]["knn"], "no sample of the training data has a label");
  EXPECT_EQ(other["not_run"]["linear_probe"], "'same' is \"thing\" in all of the training data");
  options.probe_label = "tags";
  EXPECT_THAT(run(options, "test")["not_run"]["linear_probe"].get<std::string>(),
              HasSubstr("no sample of the training data has a value for 'tags'"));
}

TEST_F(FeatureTasksTest, DataToLearnFromMustBeOtherData) {
  EXPECT_THAT(fixtures::error_of([&] { run(options_for(Task::kLinearProbe), "test"); }),
              HasSubstr("train_data"));
  EXPECT_THAT(fixtures::error_of([&] { run(options_for(Task::kLinearProbe, "test"), "test"); }),
              HasSubstr("what it learned from"));
  const EvalOptions both = options_for(Task::kKnn, "*/0.tar");
  EXPECT_THAT(fixtures::error_of([&] { run(both, "test"); }), HasSubstr("both in the data"));
  EXPECT_THROW(run(options_for(Task::kKnn, "missing-*.tar"), "test"), Error);
}

TEST_F(FeatureTasksTest, TextsAreNotEncodedForThem) {
  EvalOptions options = options_for(Task::kKnn, "train");
  options.tasks = {Task::kInstanceRetrieval, Task::kKnn, Task::kLinearProbe};
  const Json apart = run(options, "test");
  EXPECT_EQ(apart["truncated_texts"]["texts"], 0);
  options.tasks.insert(options.tasks.begin(),
                       {Task::kZeroshot, Task::kRetrieval, Task::kRegionRecognition,
                        Task::kRegionRetrieval, Task::kGrounding});
  const Json together = run(options, "test");
  for (const char* task : {"instance_retrieval", "knn", "linear_probe"})
    EXPECT_EQ(together[task], apart[task]) << task;
  EXPECT_TRUE(together.contains("retrieval"));
}

TEST(RecordValue, KeysOfTheRecordAndOfItsRegions) {
  Record record;
  EXPECT_EQ(record_value(record, "label"), std::nullopt);
  EXPECT_EQ(record_value(record, "regions"), "0");
  EXPECT_EQ(record_value(record, "quadrant"), std::nullopt);
  record.label = "bee";
  record.extra = {{"n", 3}, {"share", 0.5}, {"sure", true}, {"none", nullptr}, {"list", {1}}};
  const auto region = [](float x, float y, float side) {
    return Region{{x, y, x + side, y + side}, "it", 1, "", Json::object()};
  };
  record.regions = {region(0, 0, 0.1f), region(0.6f, 0.1f, 0.3f), region(0.1f, 0.6f, 0.3f)};
  EXPECT_EQ(record_value(record, "label"), "bee");
  EXPECT_EQ(record_value(record, "regions"), "3");
  EXPECT_EQ(record_value(record, "quadrant"), "top right");
  record.regions.push_back(region(0.5f, 0.5f, 0.45f));
  EXPECT_EQ(record_value(record, "quadrant"), "bottom right");
  record.regions = {region(0, 0.5f, 0.5f)};
  EXPECT_EQ(record_value(record, "quadrant"), "bottom left");
  record.regions = {region(0, 0, 0.75f)};
  EXPECT_EQ(record_value(record, "quadrant"), "top left");
  EXPECT_EQ(record_value(record, "n"), "3");
  EXPECT_EQ(record_value(record, "share"), "0.5");
  EXPECT_EQ(record_value(record, "sure"), "true");
  EXPECT_EQ(record_value(record, "none"), std::nullopt);
  EXPECT_EQ(record_value(record, "list"), std::nullopt);
  EXPECT_EQ(record_value(record, "missing"), std::nullopt);
}

}  // namespace
}  // namespace opencloc
