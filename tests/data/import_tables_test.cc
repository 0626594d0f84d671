// Tables, lines of JSON and folders as other programs write them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/data/import/picture_finder.h"
#include "tests/data/import_fixture.h"

namespace opencloc {
namespace {

using fixtures::ImportTest;
using fixtures::tiny_ppm;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ForeignTable : public ImportTest {
 protected:
  void SetUp() override {
    picture("a.ppm");
    picture("b.ppm");
  }
  void csv(const std::string& text, ImportOptions options = {}) {
    options.annotations = file("t.csv", text);
    run("csv", options);
  }
  std::string caption(const std::string& key) { return records_[key].caption; }
};

TEST_F(ForeignTable, ARowWithSurplusCellsIsNotCut) {
  csv("path,text,width,height\na.ppm,a dog, a cat,64,48\nb.ppm,a house,100,50\n",
      {.csv_img_key = "path", .csv_caption_key = "text"});
  EXPECT_THAT(keys(), ElementsAre("b"));
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 1);
  csv("image,caption\na.ppm,a dog, a cat and a bird\nb.ppm,a house,,\n");
  EXPECT_EQ(caption("a"), "a dog, a cat and a bird");
  EXPECT_EQ(caption("b"), "a house") << "empty cells behind do not count";
  EXPECT_EQ(skips_.notes().count("caption with separators, not quoted"), 1u);
  csv("image,caption\na.ppm,\"a dog\",cc\nb.ppm,x\n");
  EXPECT_THAT(keys(), ElementsAre("b"));
}

TEST_F(ForeignTable, BlanksAroundNamesAndCellsDoNotCount) {
  csv("image, caption\na.ppm, a dog\nb.ppm, \"a cat, and more\"\n");
  EXPECT_EQ(caption("a"), "a dog");
  EXPECT_EQ(caption("b"), "a cat, and more");
  const std::string flickr =
      "image_name| comment_number| comment\na.ppm| 0| Two , guys .\na.ppm| 1| A child .\n"
      "b.ppm| 0| A dog .\nb.ppm| 4   A dog runs\n";
  csv(flickr, {.csv_img_key = "image_name", .csv_caption_key = "comment", .csv_separator = "|"});
  EXPECT_THAT(records_["a"].captions, ElementsAre("Two , guys .", "A child ."));
  EXPECT_EQ(caption("b"), "A dog .");
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 1);
  csv(flickr);
  EXPECT_EQ(caption("b"), "A dog .") << "found out";
  csv("Image,Caption\na.ppm,x\n");
  EXPECT_EQ(caption("a"), "x");
}

TEST_F(ForeignTable, LinesOfOldMacsAndExcelsFirstLine) {
  csv("image,caption\ra.ppm,a dog\rb.ppm,a house\r");
  EXPECT_EQ(caption("b"), "a house");
  csv("sep=;\r\nimage;caption\r\na.ppm;one, two\r\n");
  EXPECT_EQ(caption("a"), "one, two");
  csv("image,caption\na.ppm,one\rtwo\n");
  EXPECT_EQ(caption("a"), "one two");
}

TEST_F(ForeignTable, StrayQuotesDoNotSwallowRows) {
  run("csv",
      {.annotations = file("t.tsv", "image\tcaption\na.ppm\t\"Stop, it said\nb.ppm\tgo\"\n")});
  EXPECT_EQ(caption("a"), "\"Stop, it said");
  EXPECT_EQ(caption("b"), "go\"");
  csv("image,caption\na.ppm,\"12 inches\nb.ppm,3\"\n");
  EXPECT_EQ(caption("a"), "\"12 inches");
  EXPECT_EQ(caption("b"), "3\"");
}

TEST_F(ForeignTable, OtherEncodings) {
  csv("image,caption\na.ppm,un caf\xe9\nb.ppm,ok\n");
  EXPECT_THAT(keys(), ElementsAre("b"));
  EXPECT_EQ(skips_.count(skip::kNotUtf8), 1);
  std::string wide = "\xff\xfe";
  for (const char c : std::string("image\tcaption\r\na.ppm\ta dog\r\n")) wide += {c, '\0'};
  csv(wide);
  EXPECT_EQ(caption("a"), "a dog");
  EXPECT_THAT(error_of([&] { csv("image,caf\xe9\na.ppm,x\n"); }), HasSubstr("not UTF-8"));
}

TEST_F(ForeignTable, ColumnsThatAreNotThere) {
  EXPECT_THAT(error_of([&] { csv("image,text\na.ppm,x\n", {.csv_caption_key = "title"}); }),
              HasSubstr("no column 'title' among: image, text"));
  EXPECT_THAT(error_of([&] { csv("a.ppm,1,2,3,4,cat\n"); }),
              HasSubstr("setting 'columns=image,caption,...'"));
  csv("image,words\na.ppm,x\n");
  EXPECT_EQ(skips_.notes().count("row without text, label or region"), 1u);
  EXPECT_EQ(skips_.notes().count("not one picture has a region, a text or a label"), 1u);
}

// LAION's tables hold addresses; img2dataset reads those, not we.
TEST_F(ForeignTable, ATableThatNamesNoPicture) {
  picture("a.jpg");
  const auto table = file("t.csv", "URL,TEXT,similarity\nhttp://h/a.jpg,a dog,0.3\n");
  const std::string error = error_of([&] { run("csv", {.annotations = table}); });
  EXPECT_NE(error.find("URL"), std::string::npos) << error;
  EXPECT_NE(error.find("'csv_img_key'"), std::string::npos) << error;
}

TEST_F(ForeignTable, BoxesInColumns) {
  csv("filename,width,height,class,xmin,ymin,xmax,ymax\na.ppm,100,50,traffic_light,10,5,30,15\n"
      "a.ppm,100,50,dog,0,0,50,25\nb.ppm,100,50,cat,x,0,50,25\n");
  ASSERT_EQ(records_["a"].regions.size(), 2u);
  expect_box(records_["a"].regions[0].box, 0.1f, 0.1f, 0.3f, 0.3f);
  EXPECT_EQ(records_["a"].regions[0].text, "traffic light");
  EXPECT_EQ(skips_.count(skip::kBadBox), 1);
}

class ForeignRows : public ForeignTable {
 protected:
  void rows(const std::string& text, const std::string& name = "t.jsonl") {
    run("jsonl", {.annotations = file(name, text)});
  }
};

TEST_F(ForeignRows, PathsOfAnotherMachine) {
  picture("cats/1.ppm");
  picture("dogs/1.ppm");
  rows(R"({"image": "/mnt/data/cats/1.ppm", "caption": "a cat"}
{"image": "/mnt/data/dogs/1.ppm", "caption": "a dog"}
{"image": "1.ppm", "caption": "which?"}
{"image": "x\\y\\a.ppm", "caption": "one"}
{"image": "z/a.ppm", "caption": "two"}
{"image": "z/b.ppm", "caption": "not b"}
{"image": "b.ppm", "caption": "b"})");
  EXPECT_THAT(keys(), ElementsAre("b", "cats/1", "dogs/1"));
  EXPECT_EQ(caption("cats/1"), "a cat");
  EXPECT_EQ(caption("dogs/1"), "a dog");
  EXPECT_EQ(caption("b"), "b");
  EXPECT_TRUE(records_["b"].captions.empty());
  EXPECT_EQ(skips_.count(skip::kMissingImage), 4);
}

TEST_F(ForeignRows, ARowThatNamesAMissingPictureIsNotFoundByItsId) {
  picture("7.ppm");
  rows(R"({"file_name": "gone.ppm", "image_id": 7, "caption": "x"}
{"image_id": 7, "caption": "seven"}
{"image_id": 2, "caption": "x"})");
  EXPECT_THAT(keys(), ElementsAre("7"));
  EXPECT_EQ(caption("7"), "seven");
  EXPECT_EQ(skips_.count(skip::kMissingImage), 2);
}

TEST_F(ForeignRows, IdsOfRowsAreThoseOfTheAnnotations) {
  picture("2.ppm");
  run("coco", {.annotations = file("i.json", R"({"images": [{"id": 2, "file_name": "a.ppm"},
                                                            {"id": "x", "file_name": "2.ppm"}]})"),
               .captions = file("c.jsonl", R"({"image_id": "2", "caption": "of a"}
{"image_id": "x", "caption": "of 2"})")});
  EXPECT_EQ(caption("a"), "of a");
  EXPECT_EQ(caption("2"), "of 2");
  run("folder", {.captions = file("none.jsonl", R"({"image": "gone.ppm", "caption": "x"})")});
  EXPECT_EQ(skips_.notes().count("none of the captions belongs to a picture of the data set"), 1u);
}

TEST_F(ForeignRows, CaptionsOfTwoFoldersDoNotMeet) {
  run("folder", {.captions = file("c.jsonl", R"({"image": "train/a.ppm", "caption": "1"}
{"image": "val/a.ppm", "caption": "2"}
{"image": "val/b.ppm", "caption": "3"})")});
  EXPECT_EQ(caption("a"), "");
  EXPECT_EQ(caption("b"), "3");
}

TEST_F(ForeignRows, TextsAndLabelsOfManyForms) {
  rows(R"({"filename": "a.ppm", "sentences": [{"raw": "A dog."}, {"raw": "An animal."}]}
{"file_name": "b.ppm", "label": 3, "text": ["x", 7, {"odd": 1}]})");
  EXPECT_THAT(records_["a"].captions, ElementsAre("A dog.", "An animal."));
  EXPECT_EQ(records_["b"].label, "3");
  EXPECT_THAT(records_["b"].captions, ElementsAre("x", "7"));
  EXPECT_EQ(skips_.count(skip::kBadText), 1);
  rows(R"({"image": "a.ppm", "label": "cat"}
{"image": "a.ppm", "label": "dog"}
{"image": "b.ppm", "label": null, "caption": NaN, "lone": "\ud83d"})");
  EXPECT_EQ(records_["a"].label, "cat");
  EXPECT_EQ(skips_.count("second label of a picture"), 1);
}

TEST_F(ForeignRows, ListsByTheirContent) {
  rows("[\n  {\n    \"file_name\": \"a.ppm\",\n    \"text\": \"a dog\"\n  }\n]\n");
  EXPECT_EQ(caption("a"), "a dog");
  rows("{\"file_name\": \"a.ppm\", \"text\": \"1\"}\n{\"file_name\": \"b.ppm\", \"text\": \"2\"}\n",
       "t.json");
  EXPECT_EQ(caption("b"), "2");
  rows(R"({"images": [{"filepath": "val", "filename": "a.ppm", "sentences": [{"raw": "k"}]}],
           "dataset": "flickr30k"})",
       "k.json");
  EXPECT_EQ(caption("a"), "k");
  EXPECT_THAT(error_of([&] { rows("PAR1...PAR1", "t.parquet"); }), HasSubstr("Parquet"));
  EXPECT_THAT(error_of([&] { rows("\x1f\x8b\x08", "t.jsonl.gz"); }), HasSubstr("gzip"));
}

TEST_F(ForeignRows, HuggingFaceObjects) {
  rows(
      R"({"file_name": "a.ppm", "objects": {"bbox": [[10, 5, 20, 10], [0, 0, 50, 25]], "categories": ["cat", 1], "area": [1, 2]}}
{"file_name": "b.ppm", "objects": {"bbox": [[10, 5, 20, 10]], "categories": []}})");
  ASSERT_EQ(records_["a"].regions.size(), 2u);
  expect_box(records_["a"].regions[0].box, 0.1f, 0.1f, 0.3f, 0.3f);
  EXPECT_EQ(records_["a"].regions[0].text, "cat");
  EXPECT_EQ(records_["a"].regions[1].text, "1");
  EXPECT_EQ(skips_.notes().count("class is a number, without its name"), 1u);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 1);
}

TEST_F(ForeignRows, APictureAsHuggingFaceWritesIt) {
  rows(R"({"image": {"bytes": null, "path": "/root/.cache/a.ppm"}, "text": "x"})");
  EXPECT_EQ(caption("a"), "x");
}

TEST_F(ForeignRows, ASplitThatNoRowHas) {
  EXPECT_THAT(error_of([&] {
                run("jsonl",
                    {.annotations = file("s.jsonl", R"({"image": "a.ppm", "split": "train"})"),
                     .split = "val"});
              }),
              HasSubstr("'train' (1)"));
}

using ForeignFolder = ImportTest;

TEST_F(ForeignFolder, HiddenFoldersAndThoseOfSystemsArePassedOver) {
  picture("cat/1.ppm");
  picture("dog/1.ppm");
  picture(".ipynb_checkpoints/1-checkpoint.ppm");
  picture("cat/.ipynb_checkpoints/1-checkpoint.ppm");
  picture("__MACOSX/cat/._1.ppm");
  picture("__MACOSX/cat/2.ppm");
  run("folder", {});
  EXPECT_THAT(keys(), ElementsAre("cat/1", "dog/1"));
}

TEST_F(ForeignFolder, LinksAreFollowedButNotInCircles) {
  picture("cat/1.ppm");
  file("elsewhere/x.ppm", tiny_ppm(4, 4));
  file("elsewhere/deep/y.ppm", tiny_ppm(4, 4));
  fs::create_directory_symlink("..", images() / "cat/up");
  fs::create_directory_symlink(folder_ / "elsewhere", images() / "dog");
  fs::create_directory_symlink(images() / "cat", folder_ / "elsewhere/deep/back");
  run("folder", {});
  EXPECT_THAT(keys(), ElementsAre("cat/1", "dog/deep/back/1", "dog/deep/y", "dog/x"));
}

TEST_F(ForeignFolder, PicturesAreKnownByTheirContent) {
  const std::string jpeg = encode_jpeg(Image(8, 8), 90);
  file("images/cat/a.jfif", jpeg);
  file("images/cat/b", jpeg);
  file("images/cat/c.JPG", jpeg);
  file("images/cat/d.orig", jpeg);
  file("images/cat/e", "no picture");
  run("folder", {});
  EXPECT_THAT(keys(), ElementsAre("cat/a", "cat/b", "cat/c", "cat/d"));
  EXPECT_EQ(records_["cat/b"].extension, "jpg");
}

TEST_F(ForeignFolder, MetadataOfHuggingFace) {
  picture("train/a.ppm");
  picture("train/b.ppm");
  file("images/train/metadata.jsonl",
       R"({"file_name": "a.ppm", "text": "an a"}
{"file_name": "gone.ppm", "text": "x"})");
  run("folder", {});
  EXPECT_EQ(records_["train/a"].caption, "an a");
  EXPECT_FALSE(records_["train/a"].label.has_value());
  EXPECT_EQ(records_["train/b"].label, "train");
  EXPECT_EQ(skips_.count(skip::kMissingImage), 1);
}

TEST_F(ForeignFolder, TextsBesidePicturesInOtherEncodings) {
  picture("a.ppm");
  picture("b.ppm");
  file("images/a.txt",
       "\xef\xbb\xbf"
       "a dog\r\n");
  file("images/b.txt", "caf\xe9");
  run("folder", {});
  EXPECT_EQ(records_["a"].alt_text, "a dog");
  EXPECT_EQ(records_["b"].alt_text, "");
  EXPECT_EQ(skips_.count(skip::kNotUtf8), 1);
}

TEST_F(ForeignFolder, CheckWritesNothingAndSaysTheSame) {
  picture("cat/a.ppm");
  file("images/cat/broken.ppm", "P6");
  SkipCounter skips(0);
  const ImportReport report = check_dataset("folder", {.images = images()}, skips);
  EXPECT_EQ(report.images, 1);
  EXPECT_EQ(skips.count(skip::kBadImage), 1);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  const std::string table = import_table(report, skips);
  EXPECT_THAT(table, HasSubstr("pictures imported"));
  EXPECT_THAT(table, HasSubstr("left out: image does not decode"));
  EXPECT_THAT(table, HasSubstr("broken.ppm"));
}

TEST(PictureFinder, NamesThatFit) {
  const fixtures::TempFolder folder;
  for (const char* name : {"cats/1.jpg", "dogs/1.jpg", "a.jpg", "x/y/a.jpg", "000000000139.jpg",
                           "frame_2.jpg", "COCO_val2014_000000000285.jpg"}) {
    write_file(folder / name, "");
  }
  const PictureFinder pictures(folder.path());
  const auto found = [&](std::string_view name) -> std::string {
    const auto picture = pictures.find(name);
    return picture ? picture.path.lexically_relative(folder.path()).string() : "none";
  };
  EXPECT_EQ(found("cats/1.jpg"), "cats/1.jpg");
  EXPECT_EQ(found("./cats//1.jpg"), "cats/1.jpg");
  EXPECT_EQ(found("/other/cats/1.jpg"), "cats/1.jpg");
  EXPECT_EQ(found("birds/1.jpg"), "none");
  EXPECT_EQ(found("1.jpg"), "none");
  EXPECT_EQ(found("a.jpg"), "a.jpg");
  EXPECT_EQ(found("y/a.jpg"), "x/y/a.jpg");
  EXPECT_EQ(found("z/y/a.jpg"), "a.jpg") << "the tail that is the whole path of a picture";
  EXPECT_EQ(found("frame_3.jpg"), "none");
  EXPECT_EQ(found("COCO_val2014_000000000139.jpg"), "000000000139.jpg");
  EXPECT_EQ(found("000000000285.jpg"), "COCO_val2014_000000000285.jpg");
  EXPECT_EQ(found((folder / "a.jpg").string()), "a.jpg");
  EXPECT_TRUE(pictures.find_numbered(139));
  EXPECT_TRUE(pictures.find_numbered(285));
  EXPECT_FALSE(pictures.find_numbered(2)) << "frame_2.jpg";
}

}  // namespace
}  // namespace opencloc
