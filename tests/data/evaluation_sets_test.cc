// Data sets of published evaluations, in the layouts they are published in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/import_fixture.h"

namespace opencloc {
namespace {

using fixtures::ImportTest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EvaluationSets : public ImportTest {};

constexpr const char* kCrowded =
    R"({"images": [{"id": 1, "file_name": "a.ppm", "width": 100, "height": 50}],
  "categories": [{"id": 1, "name": "cat", "frequency": "r"}, {"id": 2, "name": "red_dog", "frequency": "f"}],
  "annotations": [
    {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 25], "neg_category_ids": [2, 9]},
    {"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 0, 100, 50], "iscrowd": 1}]})";

TEST_F(EvaluationSets, CrowdFrequenciesAndWrongClassesAreKept) {
  picture("a.ppm");
  run("lvis", {.annotations = file("a.json", kCrowded)});
  ASSERT_EQ(records_["a"].regions.size(), 1u);
  EXPECT_EQ(records_["a"].regions[0].extra["frequency"], "r");
  EXPECT_EQ(records_["a"].regions[0].extra["negatives"], Json({"red dog"}));
  EXPECT_EQ(skips_.count("crowd annotation"), 1);
  run("coco", {.annotations = file("a.json", kCrowded), .crowd = true});
  ASSERT_EQ(records_["a"].regions.size(), 2u);
  EXPECT_EQ(records_["a"].regions[1].extra["crowd"], true);
  EXPECT_FALSE(records_["a"].regions[0].extra.contains("crowd"));
}

TEST_F(EvaluationSets, PanopticThingsAreRegionsAndStuffIsNot) {
  picture("a.ppm");
  run("coco-panoptic", {.annotations = file("p.json", R"({
    "images": [{"id": 7, "file_name": "a.ppm", "width": 100, "height": 50}],
    "categories": [{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "sky-other-merged", "isthing": 0}],
    "annotations": [{"image_id": 7, "file_name": "a.png", "segments_info": [
       {"id": 1, "category_id": 1, "bbox": [50, 0, 50, 25], "iscrowd": 0},
       {"id": 2, "category_id": 2, "bbox": [0, 0, 50, 25], "iscrowd": 0},
       {"id": 3, "category_id": 3, "bbox": [0, 0, 50, 25]},
       {"id": 4, "category_id": 1, "bbox": [0, 0, 50, 25], "iscrowd": 1}]},
      {"image_id": 8, "segments_info": []}]})")});
  ASSERT_EQ(records_["a"].regions.size(), 1u);
  EXPECT_EQ(records_["a"].regions[0].text, "cat");
  expect_box(records_["a"].regions[0].box, 0.5f, 0, 1, 0.5f);
  EXPECT_EQ(skips_.count("crowd annotation"), 1);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 2);
}

TEST_F(EvaluationSets, SugarCrepesFilesAreKinds) {
  picture("a.ppm");
  file("crepe/add_obj.json",
       R"({"0": {"filename": "a.ppm", "caption": "a cat", "negative_caption": "a dog"},
                                 "1": {"filename": "b.ppm", "caption": "a cat", "negative_caption": "a dog"},
                                 "2": {"filename": "a.ppm", "caption": "a cat"}})");
  file("crepe/swap_att.json",
       R"({"0": {"filename": "a.ppm", "caption": "red cat", "negative_caption": "blue cat"}})");
  run("sugarcrepe", {.annotations = folder_ / "crepe"});
  EXPECT_EQ(records_["a"].extra["choices"],
            Json::parse(R"([{"text": "a cat", "negatives": ["a dog"], "kind": "add_obj"},
                            {"text": "red cat", "negatives": ["blue cat"], "kind": "swap_att"}])"));
  EXPECT_EQ(skips_.count(skip::kNoText), 1);
  EXPECT_EQ(skips_.count(skip::kMissingImage), 1);
  EXPECT_THAT(error_of([&] { run("sugarcrepe", {.annotations = images()}); }),
              HasSubstr("no JSON file"));
}

TEST_F(EvaluationSets, ArosBoxesAreRegionsWithAWrongText) {
  picture("a.ppm");
  run("aro", {.annotations =
                  file("r.json", R"([{"image_path": "a.ppm", "bbox_x": 0, "bbox_y": 0, "bbox_w": 50,
     "bbox_h": 50, "true_caption": "a on b", "false_caption": "b on a", "relation_name": "on"},
     {"image_path": "a.ppm", "bbox_x": 0, "bbox_y": 0, "bbox_w": 100, "bbox_h": 50, "true_caption": "the red a",
      "false_caption": "the big a", "attributes": ["red", "big"]},
     {"image_path": "a.ppm", "bbox_x": null, "true_caption": "x", "false_caption": "y"}])")});
  ASSERT_EQ(records_["a"].regions.size(), 2u);
  expect_box(records_["a"].regions[0].box, 0, 0, 0.5f, 1);
  EXPECT_EQ(records_["a"].regions[0].text, "a on b");
  EXPECT_EQ(records_["a"].regions[0].extra["negatives"], Json({"b on a"}));
  EXPECT_EQ(records_["a"].regions[0].extra["kind"], "on");
  EXPECT_EQ(records_["a"].regions[1].extra["kind"], "red_big");
  EXPECT_EQ(skips_.count(skip::kBadBox), 1);
}

TEST_F(EvaluationSets, WinogroundsPicturesArePairs) {
  for (const char* name : {"ex_0_img_0.ppm", "ex_0_img_1.ppm"}) picture(name);
  run("winoground",
      {.annotations = file(
           "examples.jsonl",
           R"({"id": 0, "image_0": "ex_0_img_0", "image_1": "ex_0_img_1", "caption_0": "a b",)"
           R"( "caption_1": "b a", "collapsed_tag": "Object"})"
           "\n"
           R"({"id": 1, "image_0": "ex_1_img_0", "image_1": "ex_1_img_1", "caption_0": "a", "caption_1": "b"})"
           "\n")});
  EXPECT_THAT(keys(), ElementsAre("ex_0_img_0", "ex_0_img_1"));
  EXPECT_EQ(records_["ex_0_img_0"].caption, "a b");
  EXPECT_EQ(records_["ex_0_img_1"].caption, "b a");
  for (const auto& [key, record] : records_) EXPECT_EQ(record.extra["pair"], "0") << key;
  EXPECT_EQ(skips_.count(skip::kMissingImage), 2);
}

TEST_F(EvaluationSets, PhrasesOfFlickr30kHaveAllTheirBoxes) {
  for (const char* name : {"1.ppm", "2.ppm"}) picture(name);
  const auto annotations = folder_ / "entities";
  file("entities/test.txt", "1\n");
  file("entities/Sentences/1.txt",
       "[/EN#5/people Two men] in [/EN#6/clothing/bodyparts hats] and [/EN#0/notvisual it] .\n"
       "[/EN#5/people Men] stand .\n");
  file("entities/Sentences/2.txt", "[/EN#5/people One man] .\n");
  const auto object = [](const std::string& name, const std::string& box) {
    return "<object><name>" + name + "</name>" + box + "</object>";
  };
  const std::string left =
      "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>26</xmax><ymax>51</ymax></bndbox>";
  const std::string right =
      "<bndbox><xmin>51</xmin><ymin>1</ymin><xmax>76</xmax><ymax>26</ymax></bndbox>";
  file("entities/Annotations/1.xml",
       "<annotation><size><width>100</width><height>50</height></size>" + object("5", left) +
           object("5", right) + object("6", right) + object("7", "<nobndbox>1</nobndbox>") +
           "</annotation>");
  file("entities/Annotations/2.xml", "<annotation></annotation>");
  // The published names end in .jpg.
  std::filesystem::rename(images() / "1.ppm", images() / "1.jpg");
  std::filesystem::rename(images() / "2.ppm", images() / "2.jpg");
  run("flickr30k-entities", {.annotations = annotations, .split = "test"});
  EXPECT_THAT(keys(), ElementsAre("1"));
  const Record& record = records_["1"];
  EXPECT_THAT(record.captions, ElementsAre("Two men in hats and it .", "Men stand ."));
  ASSERT_EQ(record.regions.size(), 3u);
  EXPECT_EQ(record.regions[0].text, "Two men");
  expect_box(record.regions[0].box, 0, 0, 0.75f, 1);
  EXPECT_EQ(record.regions[0].extra["boxes"].size(), 2u);
  EXPECT_EQ(record.regions[1].text, "hats");
  EXPECT_FALSE(record.regions[1].extra.contains("boxes"));
  EXPECT_EQ(record.regions[2].text, "Men");
  run("flickr30k-entities", {.annotations = annotations});
  EXPECT_EQ(records_.size(), 2u);
  EXPECT_GT(skips_.count(skip::kBadAnnotation), 0);  // 2.xml has no size
}

TEST_F(EvaluationSets, EverySentenceOfRefcocoCountsWhereItIsAskedFor) {
  picture("a.ppm");
  const auto refs =
      file("refs.json",
           R"([{"file_name": "a.ppm", "bbox": [0, 0, 50, 25], "expressions": ["man", "man"]},
                                          {"file_name": "a.ppm", "bbox": [50, 0, 50, 25], "expressions": ["man"]}])");
  run("refcoco", {.annotations = refs});
  EXPECT_EQ(records_["a"].regions.size(), 2u);
  run("refcoco", {.annotations = refs, .every_sentence = true});
  EXPECT_EQ(records_["a"].regions.size(), 3u);
}

TEST_F(EvaluationSets, RowsWithWrongCaptionsAreChoices) {
  picture("a.ppm");
  run("jsonl",
      {.annotations = file(
           "a.jsonl",
           R"({"image": "a.ppm", "caption": "a cat", "negatives": ["a dog"], "kind": "noun"})")});
  EXPECT_EQ(records_["a"].extra["choices"],
            Json::parse(R"([{"text": "a cat", "negatives": ["a dog"], "kind": "noun"}])"));
  EXPECT_EQ(records_["a"].caption, "a cat");
}

TEST(GritRecord, ChunksAndExpressionsAreRegions) {
  Record record;
  parse_record_json(
      R"({"caption": "Ein großer Hund im Gras", "ref_exps": [[4, 15, 0.1, 0.2, 0.5, 0.6, 0.9]],
     "noun_chunks": [[4, 15, 0.1, 0.2, 0.5, 0.6, 0.9], [19, 23, 0, 0.5, 1, 1, 0.8], [0, 3, 0.5, 0.5, 0.5, 0.5, 1],
                     [1, 2, "x"]]})",
      "x", record);
  ASSERT_EQ(record.regions.size(), 2u);
  EXPECT_EQ(record.regions[0].text, "großer Hund");
  EXPECT_EQ(record.regions[0].source, "grit");
  EXPECT_EQ(record.regions[1].text, "Gras");
  EXPECT_FLOAT_EQ(record.regions[1].score, 0.8f);
  EXPECT_EQ(record.problems.size(), 2u);
  Record again;
  parse_record_json(dump_json(record_json(record)), "x", again);
  EXPECT_EQ(again.regions.size(), 2u);
  EXPECT_TRUE(again.problems.empty());
}

}  // namespace
}  // namespace opencloc
