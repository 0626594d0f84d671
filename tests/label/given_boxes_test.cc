#include "opencloc/label/given_boxes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/fmt/fmt.h>

#include "opencloc/base/files.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/label/pipeline.h"
#include "opencloc/label/select.h"
#include "tests/data/tar_maker.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::make_test_record;
using fixtures::TempFolder;
using fixtures::tiny_ppm;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class GivenBoxesTest : public ::testing::Test {
 protected:
  fs::path file(const std::string& name, const std::string& text) {
    write_file(folder_ / name, text);
    return folder_ / name;
  }
  std::shared_ptr<GivenBoxes> read(const std::string& text, const std::string& name = "b.jsonl",
                                   const fs::path& annotations = {},
                                   const std::string& labeller = {}) {
    return std::make_shared<GivenBoxes>(
        GivenBoxesOptions{{file(name, text)}, annotations, labeller}, skips_);
  }
  std::string error_of(const std::string& text, const std::string& name = "b.jsonl",
                       const fs::path& annotations = {}) {
    return fixtures::error_of([&] { read(text, name, annotations); });
  }
  // A picture of 40 x 20 pixels.
  static LabelSample sample(const std::string& key, const Json& image_id = {}) {
    LabelSample sample;
    sample.name = "shard#" + key;
    sample.record = make_test_record(key);
    sample.record.image = tiny_ppm(40, 20);
    if (!image_id.is_null()) sample.record.extra["image_id"] = image_id;
    sample.image = Image::decode(sample.record.image, key);
    return sample;
  }
  // "text score source [box]" of every candidate of a sample.
  std::vector<std::string> placed(const std::shared_ptr<GivenBoxes>& boxes, LabelSample of,
                                  float threshold = 0) {
    const auto stage = given_boxes_stage(boxes, threshold, skips_);
    std::vector<LabelSample> batch = {std::move(of)};
    stage->run(batch);
    report_ = stage->take_report();
    std::vector<std::string> result;
    for (const auto& c : stored_candidates(batch[0]))
      result.push_back(fmt::format("{} {} {} [{} {} {} {}]", c.text, c.score, c.source, c.box.x0,
                                   c.box.y0, c.box.x1, c.box.y1));
    return result;
  }
  TempFolder folder_;
  SkipCounter skips_{0};
  Json report_;
};

TEST_F(GivenBoxesTest, EveryFormOfABoxGivesTheSamePlace) {
  // 10 to 30 of 40 across, 5 to 10 of 20 down.
  const std::string at = "[0.25 0.25 0.75 0.5]";
  for (
      const char* line :
      {R"({"key": "k", "box": [0.25, 0.25, 0.75, 0.5], "text": "dog", "score": 0.5})",
       R"({"image": "k.jpg", "bbox": [10, 5, 20, 5], "phrase": "dog", "score": 0.5})",
       R"({"file_name": "/a/b/k.png", "bbox_xyxy": [10, 5, 30, 10], "label": "dog", "score": 0.5})",
       R"({"image": "k", "bbox_xyxy": [20, 10, 60, 20], "width": 80, "height": 40, "text": "dog",
            "score": "0.5"})",
       R"({"image": "C:\\data\\k.JPG", "segmentation": [[10, 5, 30, 5, 30, 10]], "text": "dog",
            "score": 0.5})",
       // A mask of half the size.
       R"({"key": "k", "text": "dog", "score": 0.5, "mask": {"size": [10, 20],
            "counts": [53, 1, 9, 1, 66, 1, 68, 1]}})",
       R"({"image": "k.jpg", "boxes": [[10, 5, 30, 10]], "scores": [0.5], "text_labels": ["dog"]})",
       R"({"image": "k.jpg", "boxes": [[10, 5, 30, 10]], "scores": [0.5], "labels": ["dog"]})",
       R"({"image": "k.jpg", "regions": [{"bbox": [10, 5, 20, 5], "text": "dog", "score": 0.5}]})",
       // A box without area beside a mask.
       R"({"image": "k.jpg", "bbox": [10, 5, 0, 5], "text": "dog", "score": 0.5,
            "segmentation": [[10, 5, 30, 5, 30, 10]]})"}) {
    std::string one = line;
    std::erase(one, '\n');
    const bool mask = one.find("\"mask\"") != std::string::npos;
    // Column 5, row 3; column 6, row 3; column 13, row 0; column 19, row 9.
    EXPECT_THAT(placed(read(one), sample("k")),
                ElementsAre("dog 0.5 b " + (mask ? "[0.25 0 1 1]" : at)))
        << line;
  }
  EXPECT_EQ(skips_.total(), 0) << skips_.summary();
}

TEST_F(GivenBoxesTest, CocoResultsFindNamesByNumber) {
  const auto instances = file("instances.json",
                              R"({"images": [{"id": 7, "file_name": "val/000000000007.jpg",
                                              "width": 80, "height": 40},
                                             {"id": 9, "file_name": "nine.jpg"}],
                                  "annotations": [{"id": 1, "image_id": 7, "bbox": [0, 0, 1, 1]}],
                                  "categories": [{"id": 3, "name": "traffic_light"},
                                                 {"id": 4, "name": "dog"}]})");
  const std::string results = R"([
      {"image_id": 7, "category_id": 3, "bbox": [20, 10, 40, 10], "score": 0.75},
      {"image_id": 7, "category_id": 4, "bbox": [0, 0, 80, 40], "score": 0.5},
      {"image_id": 9, "category_id": 5, "bbox": [0, 0, 8, 4], "score": 0.5},
      {"image_id": 9, "category_id": 4, "score": 0.25, "segmentation":
          {"size": [20, 40], "counts": [205, 5, 590]}}])";
  const auto boxes = read(results, "sam.json", instances, "sam-3");
  EXPECT_EQ(boxes->boxes_read(), 4);
  EXPECT_EQ(skips_.count("box without a text"), 1);  // category 5 has no name
  EXPECT_THAT(skips_.first_names("box without a text").at(0), HasSubstr("sam.json[2]"));
  const std::vector<std::string> both = {"traffic light 0.75 sam-3 [0.25 0.25 0.75 0.5]",
                                         "dog 0.5 sam-3 [0 0 1 1]"};
  EXPECT_EQ(placed(boxes, sample("anything", 7)), both);            // the number of an import
  EXPECT_EQ(placed(boxes, sample("val/000000000007")), both);       // the name of the picture
  EXPECT_EQ(placed(boxes, sample("000000000007")), both);           // as it ends
  EXPECT_EQ(placed(boxes, sample("COCO_val_000000000007")), both);  // its number
  EXPECT_THAT(placed(boxes, sample("17")), IsEmpty());
  EXPECT_EQ(report_["images_not_in_the_boxes"], 1);
  EXPECT_THAT(placed(boxes, sample("val/000000000007", 8)), ElementsAre(both[0], both[1]));
  EXPECT_THAT(boxes->not_taken(), ElementsAre("image_id 9"));
  EXPECT_THAT(placed(boxes, sample("nine")), ElementsAre("dog 0.25 sam-3 [0.25 0.25 0.275 0.5]"));
  // Without their names, numbers are nothing.
  EXPECT_THAT(error_of(results, "sam.json"), HasSubstr("setting 'boxes_annotations'"));
}

TEST_F(GivenBoxesTest, NamesFitFolderByFolder) {
  const auto boxes = read(R"({"image": "train/cat/1.jpg", "box": [0, 0, 1, 1], "text": "a"}
{"image": "train/dog/1.jpg", "box": [0, 0, 1, 1], "text": "b"}
{"image": "2.jpg", "box": [0, 0, 1, 1], "text": "c"}
{"image": "x/2.jpg", "box": [0, 0, 1, 1], "text": "d"}
{"image": "2.jpg", "box": [0, 0, 0.5, 1], "text": "e"})");
  EXPECT_EQ(boxes->pictures(), 4);
  EXPECT_THAT(placed(boxes, sample("dog/1")), ElementsAre("b 1 b [0 0 1 1]"));
  EXPECT_THAT(placed(boxes, sample("og/1")), IsEmpty());
  EXPECT_THAT(placed(boxes, sample("cow/2")), IsEmpty());
  EXPECT_THAT(placed(boxes, sample("2")), ElementsAre("c 1 b [0 0 1 1]", "e 1 b [0 0 0.5 1]"));
  EXPECT_EQ(skips_.total(), 0);
  EXPECT_THAT(placed(boxes, sample("1")), IsEmpty());  // the cat's or the dog's?
  EXPECT_EQ(skips_.count("two pictures of the boxes fit the sample"), 1);
}

TEST_F(GivenBoxesTest, WhatCannotBeUsedIsCountedByItsLine) {
  const std::string good = R"({"key": "k", "box": [0, 0, 1, 1], "text": "dog"})";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"key": "k", "box": [0, 0, 1)", "bad JSON"},
      {"[1, 2]", "annotation cannot be used"},
      {R"({"box": [0, 0, 1, 1], "text": "dog"})", "annotation cannot be used"},
      {R"({"key": "k", "text": "dog"})", "box is not four numbers"},
      {R"({"key": "k", "box": [0, 0, NaN, 1], "text": "dog"})", "box is not four numbers"},
      {R"({"key": "k", "box": [0, 0, 1], "text": "dog"})", "box is not four numbers"},
      {R"({"key": "k", "bbox": [0, 0, "1", 1], "text": "dog"})", "box is not four numbers"},
      {R"({"key": "k", "box": [0.5, 0, 0.5, 1], "text": "dog"})", "box with no area"},
      {R"({"key": "k", "bbox": [5, 5, -3, 4], "text": "dog"})", "box with no area"},
      {R"({"key": "k", "mask": {"size": [2, 2], "counts": [1, 1]}, "text": "dog"})",
       "box is not four numbers"},
      {R"({"key": "k", "box": [0, 0, 1, 1]})", "box without a text"},
      {R"({"key": "k", "box": [0, 0, 1, 1], "text": "dog", "score": NaN})",
       "annotation cannot be used"},
      {R"({"key": "k", "box": [0, 0, 1, 1], "text": "dog", "score": "high"})",
       "annotation cannot be used"},
      {R"({"key": "k", "boxes": [[0, 0, 1, 1]], "labels": ["dog", "cat"]})",
       "annotation cannot be used"},
      {R"({"key": "k", "regions": [7]})", "annotation cannot be used"}};
  for (const auto& [line, reason] : cases) {
    SkipCounter skips(0);
    const auto path = file("b.jsonl", fmt::format("{}\n\n{}\n{}", good, line, good));
    const GivenBoxes boxes({{path}, {}, {}}, skips);
    EXPECT_EQ(skips.json(), (Json{{reason, 1}})) << line;
    EXPECT_THAT(skips.first_names(reason).at(0), HasSubstr("b.jsonl:3")) << line;
    EXPECT_EQ(boxes.boxes_read(), 3) << line;
  }
}

TEST_F(GivenBoxesTest, FilesWithoutOneUsableBoxAreRefused) {
  EXPECT_THAT(error_of(""), HasSubstr("there are no boxes in the file"));
  EXPECT_THAT(error_of("[]", "b.json"), HasSubstr("there are no boxes in the file"));
  EXPECT_THAT(error_of("[{\"image_id\": 1,", "b.json"), HasSubstr("invalid JSON"));
  EXPECT_THAT(error_of(R"({"key": "k", "text": "dog"})"),
              HasSubstr("not one box can be used: 1 skipped (1 box is not four numbers)"));
  EXPECT_THAT(error_of(R"([{"image_id": 1, "category_id": 2, "bbox": [0, 0, 1, 1]}])", "b.json"),
              HasSubstr("setting 'boxes_annotations'"));
  const auto empty = file("names.json", R"({"info": 1})");
  EXPECT_THAT(
      error_of(R"([{"image_id": 1, "category_id": 2, "bbox": [0, 0, 1, 1]}])", "b.json", empty),
      HasSubstr("neither 'categories' nor 'images'"));
  EXPECT_THAT(fixtures::error_of([&] {
                GivenBoxes({{folder_ / "none.json"}, {}, {}}, skips_);
              }),
              HasSubstr("none.json"));
  // A detector that found nothing in the picture said something all the same.
  EXPECT_EQ(read(R"({"key": "k", "boxes": []})")->pictures(), 1);
}

TEST_F(GivenBoxesTest, ADataSetsOwnFileSaysAllOfIt) {
  const auto boxes = read(R"({"annotations": [{"image_id": "a", "category_id": 1,
                                               "bbox": [10, 5, 20, 5]}],
                              "categories": [{"id": 1, "name": "dog"}],
                              "images": [{"id": "a", "file_name": "one.jpg"}]})",
                          "coco.json");
  EXPECT_THAT(placed(boxes, sample("one")), ElementsAre("dog 1 coco [0.25 0.25 0.75 0.5]"));
}

TEST_F(GivenBoxesTest, BoxesAreClippedAndFiltered) {
  const auto boxes = read(
      R"({"key": "k", "bbox_xyxy": [-10, 5, 30, 10], "text": "clipped", "score": 0.5}
{"key": "k", "bbox_xyxy": [50, 5, 60, 10], "text": "outside", "score": 0.5}
{"key": "k", "box": [10, 5, 30, 10], "text": "pixels", "score": 0.5}
{"key": "k", "box": [0, 0, 1, 1], "text": "low", "score": 0.125}
{"key": "k", "box": [0, 0, 1, 1], "text": "equal", "score": 0.25}
{"key": "k", "bbox": [0, 0, 9, 9], "width": 40, "height": 40, "text": "other", "score": 0.5})");
  EXPECT_THAT(placed(boxes, sample("k"), 0.25f),
              ElementsAre("clipped 0.5 b [0 0.25 0.75 0.5]", "equal 0.25 b [0 0 1 1]"));
  EXPECT_EQ(report_, parse_json(R"({"boxes": 6, "images_not_in_the_boxes": 0, "clipped": 1,
                                    "skipped": {"box with no area": 2,
                                                "score below the threshold": 1,
                                                "size contradicts the picture": 1},
                                    "candidates": 2})",
                                "report"));
  EXPECT_THAT(skips_.first_names("score below the threshold").at(0), HasSubstr("'low' of k"));
  EXPECT_THAT(
      skips_.first_names("box with no area"),
      ElementsAre(HasSubstr("'outside' of k lies outside"), HasSubstr("'box' is in [0, 1]")));
}

TEST_F(GivenBoxesTest, RegionsSayWhoMadeThem) {
  fs::create_directories(folder_ / "in");
  ShardWriter writer(folder_ / "in" / "0.tar");
  for (const char* key : {"a", "b"}) {
    Record record = make_test_record(key);
    record.image = tiny_ppm(40, 20);
    for (const char* source : {"human", "dino", "b"}) {
      Region region;
      region.box = {0, 0, 0.5f, 0.5f};
      region.text = "old";
      region.source = source;
      record.regions.push_back(region);
    }
    writer.write(record);
  }
  writer.commit();
  const std::string text = R"({"key": "a", "box": [0, 0, 1, 1], "text": "cat", "score": 0.5}
{"key": "a", "source": "dino", "regions": [{"box": [0.5, 0, 1, 1], "text": "dog", "score": 0.75},)"
                           R"({"box": [0.5, 0, 1, 0.9], "text": "wolf", "score": 0.25}]})";
  const auto label = [&](const std::string& in, const std::string& out, bool given) {
    const auto boxes = read(text);
    std::vector<std::unique_ptr<Stage>> stages;
    if (given) stages.push_back(given_boxes_stage(boxes, 0, skips_));
    stages.push_back(select_stage({.select = {.threshold = 0},
                                   .source = "b",
                                   .other_sources = boxes->sources(),
                                   .keep_candidates = true}));
    LabelOptions options;
    options.shards = {(folder_ / in / "0.tar").string()};
    options.out = folder_ / out;
    label_shards(options, stages);
    std::vector<Record> all;
    ShardReader reader((folder_ / out / "0.tar").string(), skips_);
    for (Record record; reader.next(record);) all.push_back(record);
    return all;
  };
  const auto regions = [](const Record& record) {
    std::vector<std::string> list;
    for (const auto& r : record.regions)
      list.push_back(fmt::format("{} {} {}", r.text, r.score, r.source));
    return list;
  };
  const auto first = label("in", "out", true);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_THAT(regions(first[0]), ElementsAre("old 1 human", "dog 0.75 dino", "cat 0.5 b"));
  EXPECT_THAT(regions(first[1]), ElementsAre("old 1 human"));
  const Json how = first[1].extra.at("vesl").at("detect");
  EXPECT_EQ(how.at("detector"), "b, dino");
  EXPECT_EQ(how.at("boxes").at(0).at("file"), "b.jsonl");
  EXPECT_TRUE(how.at("boxes").at(0).at("crc32c").is_number());
  // The selection alone, from what lies in the records, keeps who made them.
  EXPECT_EQ(regions(label("out", "again", false)[0]), regions(first[0]));
}

}  // namespace
}  // namespace opencloc
