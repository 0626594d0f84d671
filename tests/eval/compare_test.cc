#include "opencloc/eval/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

using testing::HasSubstr;

// A CLIP by two region methods, a CLOC by one, with held-out names and grounding.
std::vector<NamedResults> two_models() {
  const Json clip = Json::parse(R"({
    "retrieval": {"image_retrieval_recall@1": 0.25, "n": 100},
    "region_recognition": {"acc1": 0.02, "methods": {
      "crop": {"acc1": 0.02, "chance": 0.01, "n": 9, "held_out": {"acc1": 0.1, "classes": 20, "n": 3}},
      "roi_align": {"acc1": 0.01, "chance": 0.01}}},
    "not_run": {"grounding": "no region heads"}})");
  const Json cloc = Json::parse(R"({
    "zeroshot": {"acc1": 0.5, "classes": 10},
    "retrieval": {"image_retrieval_recall@1": 0.5, "n": 100},
    "region_recognition": {"acc1": 0.4, "method": "prompter", "chance": 0.01},
    "grounding": {"acc@0.5": 0.3, "mean_iou": 0.4, "constant_box": {"acc@0.5": 0.02}}})");
  return {{"CLIP", "", clip}, {"CLOC", "", cloc}};
}

const Comparison::Row* find(const Comparison& comparison, const std::string& task,
                            const std::string& method, const std::string& figure,
                            const std::string& set = "") {
  for (const auto& row : comparison.rows) {
    if (row.task == task && row.method == method && row.figure == figure && row.set == set) {
      return &row;
    }
  }
  return nullptr;
}

TEST(Compare, PutsModelsSideBySide) {
  const auto table = compare_results(two_models());
  EXPECT_THAT(table.models, testing::ElementsAre("CLIP", "CLOC"));
  const auto* row = find(table, "retrieval", "", "text to image R@1");
  ASSERT_NE(row, nullptr);
  EXPECT_EQ(row->values[0], 0.25);
  EXPECT_EQ(row->values[1], 0.5);
}

TEST(Compare, KeepsMethodsApartAndLeavesGaps) {
  const auto table = compare_results(two_models());
  const auto* crop = find(table, "region_recognition", "crop", "top-1");
  const auto* prompter = find(table, "region_recognition", "prompter", "top-1");
  ASSERT_NE(crop, nullptr);
  ASSERT_NE(prompter, nullptr);
  EXPECT_EQ(crop->values[0], 0.02);
  EXPECT_FALSE(crop->values[1].has_value());
  EXPECT_FALSE(prompter->values[0].has_value());
  EXPECT_EQ(prompter->values[1], 0.4);
}

TEST(Compare, KnowsWhatKnowingNothingScores) {
  const auto table = compare_results(two_models());
  EXPECT_EQ(find(table, "zeroshot", "", "top-1")->baseline, 0.1);
  EXPECT_EQ(find(table, "region_recognition", "crop", "top-1")->baseline, 0.01);
  EXPECT_EQ(find(table, "grounding", "", "acc@0.5")->baseline, 0.02);
  const auto* held_out = find(table, "region_recognition", "crop", "top-1", "held-out names");
  ASSERT_NE(held_out, nullptr);
  EXPECT_EQ(held_out->values[0], 0.1);
  EXPECT_EQ(held_out->baseline, 0.05);
}

TEST(Compare, ShowsNoPartThatIsTheWhole) {
  const Json all = Json::parse(R"({"region_recognition": {
    "acc1": 0.1, "n": 3, "held_out": {"acc1": 0.1, "n": 3}}})");
  EXPECT_EQ(compare_results({{"CLOC", "held-out names", all}}).rows.size(), 1u);
}

TEST(Compare, KeepsSetsTogetherAndTasksInOrder) {
  auto results = two_models();
  results.push_back({"CLOC", "far", Json::parse(R"({"zeroshot": {"acc1": 0.75}})")});
  const auto table = compare_results(results);
  EXPECT_EQ(table.models.size(), 2u);
  EXPECT_EQ(table.rows.front().task, "zeroshot");
  EXPECT_EQ(table.rows.front().set, "");
  EXPECT_EQ(find(table, "zeroshot", "", "top-1", "far")->values[1], 0.75);
  EXPECT_EQ(table.rows.back().set, "far");
}

TEST(Compare, RefusesTheSameNameTwice) {
  auto results = two_models();
  results.push_back(results.front());
  EXPECT_THROW(compare_results(results), Error);
}

TEST(Compare, PrintsTextMarkdownAndJson) {
  const auto table = compare_results(two_models());
  const std::string text = comparison_table(table, TableStyle::kText);
  EXPECT_THAT(text, HasSubstr("region recognition, prompter\n"));
  EXPECT_THAT(text, testing::ContainsRegex("top-1 +- +40.0% +1.0%"));
  const std::string markdown = comparison_table(table, TableStyle::kMarkdown);
  EXPECT_THAT(markdown, HasSubstr("| acc@0.5 | - | 30.0% | 2.0% |"));
  const Json json = comparison_json(table);
  EXPECT_EQ(json["models"].size(), 2u);
  EXPECT_EQ(json["rows"].size(), table.rows.size());
  EXPECT_TRUE(json["rows"][0].contains("baseline"));
}

}  // namespace
}  // namespace opencloc
