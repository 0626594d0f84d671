#include "opencloc/data/import/import.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/import_fixture.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::tiny_ppm;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Import = fixtures::ImportTest;

constexpr const char* kCoco = R"({
  "images": [{"id": 1, "file_name": "000000000001.ppm", "width": 100, "height": 50},
             {"id": 2, "file_name": "val/2.ppm"},
             {"id": 3, "file_name": "gone.ppm"}],
  "categories": [{"id": 7, "name": "traffic_light"}, {"id": 8, "name": "bus"}],
  "annotations": [
    {"id": 1, "image_id": 1, "category_id": 7, "bbox": [10, 5, 20, 10], "segmentation": [[1, 2]]},
    {"id": 2, "image_id": 1, "category_id": 8, "bbox": [90, 40, 20, 20]},
    {"id": 3, "image_id": 1, "category_id": 8, "bbox": [10, 10, 0, 5]},
    {"id": 4, "image_id": 1, "category_id": 8, "bbox": [10, 10, "x", 5]},
    {"id": 5, "image_id": 1, "category_id": 99, "bbox": [10, 10, 5, 5]},
    {"id": 6, "image_id": 1, "category_id": 8, "bbox": [10, 10, 5, 5], "iscrowd": 1},
    {"id": 7, "image_id": 3, "category_id": 8, "bbox": [10, 10, 5, 5]},
    {"id": 8, "image_id": 2, "category_id": 8, "bbox": [0, 0, 5, 5]}]})";

TEST_F(Import, Coco) {
  picture("000000000001.ppm");
  picture("val/2.ppm", 10, 10);
  run("coco", {.annotations = file("instances.json", kCoco)});
  ASSERT_THAT(keys(), ElementsAre("000000000001", "val/2"));
  const Record& first = records_["000000000001"];
  EXPECT_EQ(first.image, tiny_ppm(100, 50)) << "the picture's bytes are kept";
  ASSERT_EQ(first.regions.size(), 2u);
  expect_box(first.regions[0].box, 0.1f, 0.1f, 0.3f, 0.3f);
  EXPECT_EQ(first.regions[0].text, "traffic light");
  EXPECT_EQ(first.regions[0].source, "human");
  EXPECT_EQ(first.regions[0].extra["category"], "traffic_light");
  expect_box(first.regions[1].box, 0.9f, 0.8f, 1, 1);  // clipped
  EXPECT_FALSE(first.regions[1].extra.contains("category"));
  expect_box(records_["val/2"].regions[0].box, 0, 0, 0.5f, 0.5f);  // the picture's own size
  EXPECT_EQ(report_.images, 2);
  EXPECT_EQ(report_.regions, 3);
  EXPECT_EQ(report_.boxes_clipped, 1);
  EXPECT_EQ(skips_.count(skip::kMissingImage), 1);
  EXPECT_EQ(skips_.count(skip::kEmptyBox), 1);
  EXPECT_EQ(skips_.count(skip::kBadBox), 1);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 1);
  EXPECT_EQ(skips_.count("crowd annotation"), 1);
}

TEST_F(Import, CocoCaptionsAndPhrases) {
  picture("000000000001.ppm");
  run("coco",
      {.annotations = file("instances.json", kCoco),
       .captions = file("captions.json", R"({"images": [{"id": 1, "file_name": "000000000001.ppm"}],
          "annotations": [{"id": 1, "image_id": 1, "caption": " A street. \n"},
                          {"id": 2, "image_id": 1, "caption": "A road."},
                          {"id": 3, "image_id": 1, "caption": ""},
                          {"id": 4, "image_id": 5, "caption": "elsewhere"}]})"),
       .phrases = file("phrases.jsonl",
                       R"({"image_id": 1, "phrase": "the red light", "bbox": [10, 5, 20, 10],)"
                       R"( "negatives": ["the green light"]})"
                       "\n"
                       R"({"image_id": 1, "phrase": "the red light", "bbox": [10, 5, 20, 10],)"
                       R"( "negatives": ["the green light", "a dog"]})"
                       "\n"
                       R"({"image_id": 1, "phrase": "no box", "bbox": null})"
                       "\n{broken\n"
                       R"({"image_id": 77, "phrase": "elsewhere", "bbox": [10, 5, 20, 10]})")});
  const Record& record = records_["000000000001"];
  EXPECT_EQ(record.caption, "A street.");
  EXPECT_THAT(record.captions, ElementsAre("A street.", "A road."));
  ASSERT_EQ(record.regions.size(), 3u);
  EXPECT_EQ(record.regions[2].text, "the red light");
  EXPECT_EQ(record.regions[2].extra["negatives"], Json({"the green light", "a dog"}));
  EXPECT_EQ(skips_.count("region said before"), 1);
  EXPECT_EQ(skips_.count(skip::kNoText), 1);
  EXPECT_EQ(skips_.count(skip::kBadJson), 1);
  EXPECT_EQ(skips_.count("phrase without a box"), 1);
}

TEST_F(Import, LvisFindsPicturesByUrlAndNumber) {
  picture("000000000139.ppm");
  picture("val2017/000000000285.ppm");
  run("lvis", {.annotations = file("lvis.json", R"x({
    "images": [{"id": 139, "file_name": "COCO_val2014_000000000139.ppm"},
               {"id": 5, "coco_url": "http://images.cocodataset.org/val2017/000000000285.ppm"}],
    "categories": [{"id": 1, "name": "bow_(weapon)", "frequency": "r"}],
    "annotations": [{"id": 1, "image_id": 139, "category_id": 1, "bbox": [0, 0, 50, 25]}]
})x")});
  EXPECT_THAT(keys(), ElementsAre("000000000139", "val2017/000000000285"));
  EXPECT_EQ(records_["000000000139"].regions[0].text, "bow (weapon)");
}

TEST_F(Import, YoloLabelsBesideAndInSiblingFolder) {
  picture("a.b.ppm");
  picture("c.ppm");
  picture("background.ppm");
  file("labels/a.b.txt",
       "1 0.5 0.5 0.2 0.4\n0 0.1 0.1 0.4 0.4 0.75\n\n2 0.5 0.5 0.1 0.1\n1 zero\n"
       "0 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6\n");
  file("images/c.txt", "0 0.5 0.5 0 0\n");
  file("data.yaml", "train: x\nnames:\n  0: bus_stop\n  1: 'stop'\n");
  run("yolo", {});
  ASSERT_THAT(keys(), ElementsAre("a_b", "background", "c"));
  const auto& regions = records_["a_b"].regions;
  ASSERT_EQ(regions.size(), 3u);
  expect_box(regions[0].box, 0.4f, 0.3f, 0.6f, 0.7f);
  EXPECT_EQ(regions[0].text, "stop");
  expect_box(regions[1].box, 0, 0, 0.3f, 0.3f);
  EXPECT_EQ(regions[1].text, "bus stop");
  EXPECT_FLOAT_EQ(regions[1].score, 0.75f);
  expect_box(regions[2].box, 0.1f, 0.2f, 0.3f, 0.6f);  // of the polygon
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 2);
  EXPECT_EQ(skips_.count(skip::kEmptyBox), 1);
}

TEST_F(Import, YoloNamesFromListsAndFolders) {
  picture("a.ppm");
  const auto labels = file("annotations/a.txt", "1 0.5 0.5 0.2 0.4\n").parent_path();
  EXPECT_THAT(error_of([&] { run("yolo", {}); }), HasSubstr("no class names found"));
  file("annotations/classes.txt", "zero\none thing \r\n");
  run("yolo", {.annotations = labels});
  EXPECT_EQ(records_["a"].regions[0].text, "one thing");
  EXPECT_THAT(error_of([&] { run("yolo", {.annotations = file("x.yaml", "names: [a")}); }),
              HasSubstr("invalid YAML"));
  EXPECT_THAT(error_of([&] { run("yolo", {.annotations = file("y.yaml", "nc: 3")}); }),
              HasSubstr("no class names"));
}

TEST_F(Import, VocCountsPixelsFromOne) {
  picture("a.ppm");
  file("xml/a.xml", R"(<annotation><filename>a.ppm</filename>
    <size><width>200</width><height>100</height></size>
    <object><name>potted_plant</name><difficult>1</difficult>
      <bndbox><xmin>21</xmin><ymin>11</ymin><xmax>40</xmax><ymax>20</ymax></bndbox></object>
    <object><name>half</name><bndbox><xmin>1</xmin></bndbox></object>
    <object><bndbox/></object></annotation>)");
  file("xml/b.xml", "<annotation><filename>gone.ppm</filename></annotation>");
  file("xml/c.xml", "<annotation><filename>");
  run("voc", {.annotations = folder_ / "xml"});
  ASSERT_THAT(keys(), ElementsAre("a"));
  ASSERT_EQ(records_["a"].regions.size(), 1u);
  expect_box(records_["a"].regions[0].box, 0.1f, 0.1f, 0.2f, 0.2f);
  EXPECT_EQ(records_["a"].regions[0].text, "potted plant");
  EXPECT_EQ(records_["a"].regions[0].extra["difficult"], true);
  EXPECT_EQ(skips_.count(skip::kMissingImage), 1);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 2);
  EXPECT_EQ(skips_.count(skip::kBadBox), 1);
}

TEST_F(Import, VocReadsNoFilesThatEntitiesName) {
  picture("a.ppm");
  file("secret", "secret");
  file("xml/a.xml", "<!DOCTYPE a [<!ENTITY x SYSTEM \"file://" + (folder_ / "secret").string() +
                        "\">]><annotation><filename>a.ppm</filename><object><name>&x;</name>"
                        "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
                        "</object></annotation>");
  run("voc", {.annotations = folder_ / "xml"});
  for (const auto& region : records_["a"].regions) EXPECT_NE(region.text, "secret");
}

TEST_F(Import, RefcocoRows) {
  picture("1.ppm");
  picture("2.ppm");
  run("refcoco", {.annotations = file("refs.json", R"([
    {"file_name": "1.ppm", "image": "val/1.ppm", "normal_caption": "the left dog",
     "solution": [10, 5, 30, 15], "width": 100, "height": 50},
    {"file_name": "1.ppm", "normal_caption": "nothing there", "solution": null},
    {"image_id": 2, "bbox": [0, 0, 50, 25], "sentences": [{"sent": "a cat"}, {"sent": "cat left"}]},
    {"file_name": "gone.ppm", "normal_caption": "x", "solution": [1, 1, 2, 2]}, 5])")});
  ASSERT_THAT(keys(), ElementsAre("1", "2"));
  ASSERT_EQ(records_["1"].regions.size(), 1u);
  expect_box(records_["1"].regions[0].box, 0.1f, 0.1f, 0.3f, 0.3f);
  EXPECT_EQ(records_["1"].regions[0].text, "the left dog");
  ASSERT_EQ(records_["2"].regions.size(), 2u);
  EXPECT_EQ(records_["2"].regions[1].text, "cat left");
  EXPECT_EQ(skips_.count("phrase without a box"), 1);
  EXPECT_EQ(skips_.count(skip::kMissingImage), 1);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 1);
}

TEST_F(Import, RefcocoOfReferAndMdetr) {
  picture("1.ppm");
  file("instances.json", R"({"annotations": [{"id": 9, "bbox": [10, 5, 20, 10]}]})");
  const auto refs = file("refs.json", R"([
    {"image_id": 1, "ann_id": 9, "split": "val", "sentences": [{"sent": "a cat"}]},
    {"image_id": 1, "ann_id": 9, "split": "train", "sentences": [{"sent": "no"}]}])");
  run("refcoco", {.annotations = refs, .split = "val"});
  ASSERT_EQ(records_["1"].regions.size(), 1u);
  expect_box(records_["1"].regions[0].box, 0.1f, 0.1f, 0.3f, 0.3f);
  run("refcoco", {.annotations = file("mdetr.json", R"({
    "images": [{"id": 5, "file_name": "1.ppm", "caption": "a dog", "width": 50, "height": 25},
               {"id": 6, "file_name": "1.ppm", "caption": "that dog", "width": 50, "height": 25}],
    "annotations": [{"image_id": 5, "bbox": [0, 0, 25, 25]},
                    {"image_id": 6, "bbox": [25, 12.5, 25, 12.5]}]})")});
  ASSERT_EQ(records_["1"].regions.size(), 2u);
  EXPECT_EQ(records_["1"].regions[1].text, "that dog");
  expect_box(records_["1"].regions[1].box, 0.5f, 0.5f, 1, 1);
  EXPECT_THAT(error_of([&] { run("refcoco", {.annotations = file("refs(unc).p", "x")}); }),
              HasSubstr("pickle"));
}

TEST_F(Import, FolderNamesAreClasses) {
  picture("cougar_body/1.x.ppm");
  picture("cougar_body/1_x.ppm");
  picture("ant/1.ppm");
  picture("loose.ppm");
  file("images/ant/1.txt", "an ant\n");
  file("images/ant/1.json", R"({"regions": [{"box": [0, 0, 0.5, 0.5], "text": "leg"}], "w": 1})");
  run("folder", {});
  ASSERT_THAT(keys(), ElementsAre("ant/1", "cougar_body/1_x", "cougar_body/1_x_2", "loose"));
  const Record& cougar = records_["cougar_body/1_x"];
  EXPECT_EQ(cougar.label, "cougar body");
  EXPECT_EQ(cougar.extra["category"], "cougar_body");
  EXPECT_EQ(cougar.caption, "a photo of a cougar body");
  const Record& ant = records_["ant/1"];
  EXPECT_EQ(ant.label, "ant");
  EXPECT_EQ(ant.alt_text, "an ant");
  EXPECT_EQ(ant.caption, "") << "it has a text already";
  EXPECT_EQ(ant.regions[0].text, "leg");
  EXPECT_EQ(ant.extra["w"], 1);
  EXPECT_FALSE(records_["loose"].label.has_value());
  run("folder", {.caption_template = ""});
  EXPECT_EQ(records_["cougar_body/1_x"].caption, "");
}

TEST_F(Import, CsvWithAndWithoutNames) {
  picture("a.ppm");
  picture("b.ppm");
  run("csv",
      {.annotations = file("names.csv",
                           "filepath,title,licence\r\na.ppm,\"one, \"\"two\"\"\nlines\",cc\r\n"
                           "b.ppm,b,\r\ngone.ppm,x,y\r\nshort\r\n")});
  EXPECT_EQ(records_["a"].caption, "one, \"two\"\nlines");
  EXPECT_EQ(records_["a"].extra["licence"], "cc");
  EXPECT_EQ(skips_.count(skip::kMissingImage), 1);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 1);
  run("csv", {.annotations = file("bare.tsv",
                                  "a.ppm#0\tA man, a dog.\na.ppm#1\tA dog , a man.\n"
                                  "b.ppm#0\tB\n")});
  EXPECT_THAT(records_["a"].captions, ElementsAre("A man, a dog.", "A dog , a man."));
  EXPECT_EQ(records_["b"].caption, "B");
  run("csv", {.annotations = file("own.txt", "pic;words\na.ppm;hello, you\n"),
              .csv_img_key = "pic",
              .csv_caption_key = "words"});
  EXPECT_EQ(records_["a"].caption, "hello, you");
  EXPECT_THAT(error_of([&] {
                run("csv", {.annotations = file("own.csv", "x,y\n"), .csv_img_key = "pic"});
              }),
              HasSubstr("no column 'pic'"));
  EXPECT_THAT(error_of([&] {
                run("csv", {.annotations = file("s.csv", "image,y\n"), .csv_separator = "ab"});
              }),
              HasSubstr("one character"));
}

TEST_F(Import, CsvWhoseColumnsAreNamedByTheUser) {
  picture("a.ppm");
  run("csv", {.annotations = file("Flickr8k.token.txt", "a.ppm#0\ttitle\na.ppm#1\tA dog .\n"),
              .csv_no_header = true});
  EXPECT_THAT(records_["a"].captions, ElementsAre("title", "A dog ."))
      << "a caption that is a column's name";
  run("csv", {.annotations = file("more.csv", "7,A cat,a.ppm,cc\n"),
              .csv_columns = {"", "caption", "image", "licence"}});
  EXPECT_EQ(records_["a"].caption, "A cat");
  EXPECT_EQ(records_["a"].extra, Json({{"licence", "cc"}}));
  run("csv", {.annotations = file("named.csv", "path,title\na.ppm,A cat\n"),
              .csv_columns = {"image", "alt_text"}});
  EXPECT_EQ(records_["a"].alt_text, "A cat") << "given names replace those of the file";
  EXPECT_EQ(records_["a"].caption, "");
  run("folder", {.captions = file("captions.txt", "a.ppm#0\tOne.\na.ppm#1\tTwo.\n")});
  EXPECT_THAT(records_["a"].captions, ::testing::IsSupersetOf({"One.", "Two."}));
}

TEST_F(Import, CsvQuotesThatDoNotEncloseACellAreText) {
  picture("a.ppm");
  picture("b.ppm");
  run("csv", {.annotations = file("q.tsv",
                                  "a.ppm\t\"Stop\" says a sign\na.ppm\t\"of \"\"two\"\" words\"\n"
                                  "b.ppm\t\"never closed\nb.ppm\t\"\"\n")});
  EXPECT_THAT(records_["a"].captions, ElementsAre("\"Stop\" says a sign", "of \"two\" words"));
  EXPECT_EQ(records_["b"].caption, "\"never closed");
  EXPECT_EQ(skips_.total(), 0);
}

TEST_F(Import, CsvWithRegions) {
  picture("a.ppm");
  run("csv", {.annotations = file(
                  "r.csv",
                  "image,caption,regions\n"
                  "a.ppm,c,\"[{\"\"box\"\": [0, 0, 0.5, 1], \"\"text\"\": \"\"half\"\"}]\"\n")});
  ASSERT_EQ(records_["a"].regions.size(), 1u);
  EXPECT_EQ(records_["a"].regions[0].text, "half");
}

TEST_F(Import, JsonlRows) {
  picture("a.ppm");
  picture("b.ppm");
  const std::string rows =
      R"({"image": "a.ppm", "caption": "c", "alt_text": "alt", "label": "x", "url": "u", )"
      R"("regions": [{"box": [0, 0, 0.5, 0.5], "text": "t", "score": 0.5, "k": 1}, )"
      R"({"bbox": [10, 5, 20, 10], "label": "pixels"}, {"text": "no box"}]})"
      "\n"
      R"({"file_name": "b.ppm", "bbox": [10, 5, 20, 10], "expression": "that one"})"
      "\n"
      R"({"caption": "of nothing"})"
      "\n7\n{\n";
  run("jsonl", {.annotations = file("rows.jsonl", rows)});
  const Record& a = records_["a"];
  EXPECT_EQ(a.caption, "c");
  EXPECT_EQ(a.alt_text, "alt");
  EXPECT_EQ(a.label, "x");
  EXPECT_EQ(a.extra["url"], "u");
  ASSERT_EQ(a.regions.size(), 2u);
  EXPECT_FLOAT_EQ(a.regions[0].score, 0.5f);
  EXPECT_EQ(a.regions[0].extra["k"], 1);
  expect_box(a.regions[1].box, 0.1f, 0.1f, 0.3f, 0.3f);
  EXPECT_EQ(a.regions[1].text, "pixels");
  EXPECT_EQ(records_["b"].regions[0].text, "that one");
  EXPECT_EQ(skips_.count(skip::kBadBox), 1);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 2);
  EXPECT_EQ(skips_.count(skip::kBadJson), 1);
}

TEST_F(Import, BrokenPicturesAreCountedAndNeverStopTheRest) {
  picture("good.ppm");
  file("images/broken.jpg", "\xff\xd8\xff\xe0 not a picture");
  file("images/cut.ppm", tiny_ppm(50, 50).substr(0, 100));
  file("images/empty.png", "");
  run("folder", {});
  EXPECT_THAT(keys(), ElementsAre("good"));
  EXPECT_EQ(skips_.count(skip::kBadImage), 3);
}

TEST_F(Import, WhatCannotBeUsedIsAnError) {
  EXPECT_THAT(error_of([&] { run("coco", {}); }), HasSubstr("no such folder"));
  picture("a.ppm");
  EXPECT_THAT(error_of([&] { run("coco", {}); }), HasSubstr("setting 'annotations'"));
  EXPECT_THAT(error_of([&] { run("coco", {.annotations = folder_ / "missing.json"}); }),
              HasSubstr("missing.json"));
  EXPECT_THAT(error_of([&] { run("coco", {.annotations = file("a.json", "{")}); }),
              HasSubstr("invalid JSON"));
  EXPECT_THAT(error_of([&] { run("coco", {.annotations = file("b.json", "[]")}); }),
              HasSubstr("not a COCO file"));
  EXPECT_THAT(error_of([&] { run("coco", {.annotations = file("c.json", "{}")}); }),
              HasSubstr("no 'images'"));
  EXPECT_THAT(error_of([&] { run("paintings", {}); }), HasSubstr("unknown dataset format"));
  EXPECT_THAT(error_of([&] { run("jsonl", {.annotations = file("d.jsonl", "{\n")}); }),
              HasSubstr("nothing to import"));
  EXPECT_FALSE(fs::exists(folder_ / "out")) << "nothing is left behind";
}

TEST_F(Import, ShardsDoNotDependOnThreads) {
  for (int i = 0; i < 70; ++i)
    picture("c" + std::to_string(i % 3) + "/" + std::to_string(i) + ".ppm");
  run("folder", {}, 1);
  const std::string once = read_file(folder_ / "out" / "00000.tar");
  run("folder", {}, 5);
  EXPECT_EQ(read_file(folder_ / "out" / "00000.tar"), once);
}

// The real datasets, where they are.
class RealImport : public Import {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("OPENCLOC_TEST_DATA");
    data_ = fs::path(folder == nullptr ? "../shared" : folder) / "data";
    if (!fs::exists(data_ / "coco")) GTEST_SKIP() << "no test data at " << data_;
  }
  void import_real(const std::string& format, const ImportOptions& options) {
    ShardSetWriter out(folder_ / "out", {.overwrite = true});
    report_ = import_dataset(format, options, out, skips_, {.threads = 2});
    out.commit();
  }
  fs::path data_;
};

TEST_F(RealImport, Coco) {
  import_real("coco", {.images = data_ / "coco/images",
                       .annotations = data_ / "coco/instances.json",
                       .captions = data_ / "coco/captions.json",
                       .phrases = data_ / "coco/phrases.jsonl"});
  EXPECT_EQ(report_.images, 190);
  EXPECT_EQ(report_.images_with_text, 121);
  EXPECT_EQ(skips_.count(skip::kMissingImage), 0);
  EXPECT_EQ(report_.regions + skips_.total(), 1597 + 413);
}

TEST_F(RealImport, Lvis) {
  import_real("lvis", {.images = data_ / "coco/images",
                       .annotations = data_ / "formats/lvis_val_100.json"});
  EXPECT_GT(report_.images, 0);
  EXPECT_EQ(report_.images + skips_.count(skip::kMissingImage), 96);
}

TEST_F(RealImport, Refcoco) {
  import_real("refcoco", {.images = data_ / "coco/images",
                          .annotations = data_ / "formats/refcocos_test.json"});
  EXPECT_GT(report_.regions, 0);
  EXPECT_EQ(report_.regions + skips_.total(), 482);
}

TEST_F(RealImport, Yolo) {
  import_real("yolo", {.images = data_ / "road_signs/images",
                       .annotations = data_ / "road_signs/data.yaml"});
  EXPECT_EQ(report_.images, 128);
  EXPECT_GT(report_.images_with_regions, 120);
  EXPECT_EQ(skips_.total(), 0);
}

TEST_F(RealImport, Csv) {
  import_real(
      "csv", {.images = data_ / "flickr8k/images", .annotations = data_ / "flickr8k/captions.tsv"});
  EXPECT_EQ(report_.images, 506);
  EXPECT_EQ(report_.images_with_text, 506);
  EXPECT_EQ(skips_.total(), 0);
}

TEST_F(RealImport, Folder) {
  import_real("folder", {.images = data_ / "caltech101"});
  EXPECT_EQ(report_.images, 150);
  EXPECT_EQ(skips_.total(), 0);
}

TEST_F(RealImport, OpenImages) {
  import_real("coco", {.images = data_ / "openimages5/images",
                       .annotations = data_ / "openimages5/instances.json"});
  EXPECT_EQ(report_.images, 120);
  EXPECT_EQ(report_.regions + skips_.total(), 408);
}

}  // namespace
}  // namespace opencloc
