#include "opencloc/data/look/label_reports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/data/look/label_output.h"
#include "tests/data/tar_maker.h"

namespace opencloc {
namespace {

using fixtures::TempFolder;
using ::testing::HasSubstr;

class LabelReportsTest : public ::testing::Test {
 protected:
  // The report of shard NAME.tar; the shard itself is not looked at.
  void report(const std::string& name, const std::string& text) {
    shards_.push_back((folder_ / (name + ".tar")).string());
    if (!text.empty()) write_file(label_report_path(shards_.back()), text);
  }
  std::string error() {
    try {
      collect_label_reports(shards_);
      return "";
    } catch (const Error& e) {
      return e.what();
    }
  }
  TempFolder folder_;
  std::vector<std::string> shards_;
};

constexpr const char* kFirst =
    R"({"settings": {"phrases": {"extractor": "noun"}}, "images": 10, "regions": 30,
        "skipped": {"bad JSON": 1},
        "stages": {"caption": {"from": {"caption": 10}},
                   "phrases": {"phrases": 40, "codes": 0, "dropped": {"stop words": 2}}},
        "seconds": 2.5, "stage_seconds": {"phrases": 1.5, "write": 0.5}})";

TEST_F(LabelReportsTest, AddUp) {
  report("0", kFirst);
  report("1", R"({"settings": {"phrases": {"extractor": "noun"}}, "images": 5, "regions": 0,
        "skipped": {"bad JSON": 2, "no image": 1},
        "stages": {"caption": {"from": {"caption": 4, "alt_text": 1}},
                   "phrases": {"phrases": 2, "codes": 0, "dropped": {"web words": 3}}},
        "seconds": 0.5, "stage_seconds": {"phrases": 1.5, "read": 0.5}})");
  report("2", "");
  const LabelReports all = collect_label_reports(shards_);
  EXPECT_EQ(all.shards, 2);
  EXPECT_EQ(all.shards_without, 1);
  EXPECT_EQ(all.images, 15);
  EXPECT_EQ(all.settings.size(), 1u);
  const Json json = all.json();
  EXPECT_DOUBLE_EQ(json["regions_per_image"], 2);
  EXPECT_DOUBLE_EQ(json["images_per_s"], 5);
  EXPECT_DOUBLE_EQ(json["stage_seconds"]["phrases"], 3);
  EXPECT_DOUBLE_EQ(json["stage_share"]["phrases"], 0.75);
  EXPECT_EQ(json["skipped"], Json({{"bad JSON", 3}, {"no image", 1}}));
  EXPECT_EQ(json["stages"]["caption"]["from"], Json({{"caption", 14}, {"alt_text", 1}}));
  EXPECT_EQ(json["stages"]["phrases"]["phrases"], 42);
  const std::string table = all.table();
  EXPECT_THAT(table, HasSubstr("labelled shards             2 with a report, 1 without\n"));
  EXPECT_THAT(table, HasSubstr("  skipped                   bad JSON 3, no image 1\n"));
  EXPECT_THAT(table, HasSubstr("  phrases                   phrases 42, dropped (stop words 2, "
                               "web words 3)\n"));
  EXPECT_THAT(table, HasSubstr("    phrases                 3.0 (75%)\n    read"));
  EXPECT_THAT(table, ::testing::Not(HasSubstr("settings")));
}

TEST_F(LabelReportsTest, SayWhenSettingsDiffer) {
  report("0", kFirst);
  std::string other = kFirst;
  other.replace(other.find("noun"), 4, "gram");
  report("1", other);
  EXPECT_THAT(collect_label_reports(shards_).table(), HasSubstr("2 different ones"));
}

TEST_F(LabelReportsTest, WhatIsNoneIsAnErrorThatNamesTheFile) {
  for (const char* text : {"{", "[]", "{}", R"({"settings": 1})",
                           R"({"settings": {}, "images": "x", "skipped": {}, "stage_seconds": {}})",
                           R"({"settings": {}, "skipped": {"a": "b"}, "stage_seconds": {}})"}) {
    shards_.clear();
    report("0", text);
    EXPECT_THAT(error(), HasSubstr("0.tar.report.json")) << text;
  }
  shards_.clear();
  const char* huge = R"({"settings": {}, "images": 9223372036854775807, "skipped": {},
                         "stage_seconds": {}})";
  report("0", huge);
  report("1", huge);
  EXPECT_THAT(error(), HasSubstr("a count is too large"));
}

TEST_F(LabelReportsTest, OfUnlabelledShardsAreNone) {
  report("0", "");
  const LabelReports all = collect_label_reports(shards_);
  EXPECT_EQ(all.shards, 0);
  EXPECT_DOUBLE_EQ(all.json()["images_per_s"], 0);
}

}  // namespace
}  // namespace opencloc
