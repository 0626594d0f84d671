// Files as other programs write them: the right value of every case that once went wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/data/import_fixture.h"

namespace opencloc {
namespace {

using fixtures::exif_jpeg;
using fixtures::ImportTest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ForeignCoco : public ImportTest {
 protected:
  // `images`, `annotations`: the elements of the lists.
  void import(const std::string& images, const std::string& annotations) {
    run("coco", {.annotations = file("ann.json", R"({"images": [)" + images +
                                                     R"(], "annotations": [)" + annotations +
                                                     R"(], "categories": [{"id": 1, "name": "cat"},
                                                                          {"id": 2, "name": "dog"}]})")});
  }
};

TEST_F(ForeignCoco, AMissingPictureIsNotFoundByItsNumberOrLastPart) {
  picture("frame_2.ppm");
  picture("z.ppm");
  picture("other/b.ppm");
  import(R"({"id": 1, "file_name": "a.ppm"}, {"id": 2, "file_name": "train/b.ppm"},
            {"id": 3, "file_name": "z.ppm"})",
         R"({"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 16, 16]},
            {"id": 2, "image_id": 2, "category_id": 2, "bbox": [8, 8, 16, 16]},
            {"id": 3, "image_id": 3, "category_id": 2, "bbox": [8, 8, 16, 16]})");
  EXPECT_THAT(keys(), ElementsAre("z"));
  EXPECT_EQ(skips_.count(skip::kMissingImage), 2);
  EXPECT_EQ(skips_.count(skip::kOfMissing), 2);
  EXPECT_THAT(skips_.first_names(skip::kMissingImage), ElementsAre("a.ppm", "train/b.ppm"));
}

TEST_F(ForeignCoco, WindowsPathsUrlsAndPathsOfOtherMachines) {
  for (const char* name : {"dd-frame_2", "cc-frame_1", "sub/x", "u", "l s"})
    picture(name + std::string(".ppm"));
  import(R"({"id": 1, "file_name": "images\\dd-frame_2.ppm"},
            {"id": 2, "file_name": "C:\\data\\images\\cc-frame_1.ppm"},
            {"id": 3, "file_name": "/home/me/sub/x.ppm"},
            {"id": 4, "file_name": "https://host/val/u.ppm?size=large"},
            {"id": 5, "file_name": "/data/local-files/?d=l%20s.ppm"})",
         R"({"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 16, 16]},
            {"id": 2, "image_id": 2, "category_id": 2, "bbox": [40, 8, 16, 16]})");
  EXPECT_THAT(keys(), ElementsAre("cc-frame_1", "dd-frame_2", "l s", "sub/x", "u"));
  EXPECT_EQ(records_["dd-frame_2"].regions.at(0).text, "cat");
  EXPECT_EQ(records_["cc-frame_1"].regions.at(0).text, "dog");
}

TEST_F(ForeignCoco, TwoNamesThatFitOnePictureFitNone) {
  picture("1.ppm");
  picture("2.ppm");
  import(R"({"id": 1, "file_name": "train/1.ppm"}, {"id": 2, "file_name": "val/1.ppm"},
            {"id": 3, "file_name": "val/2.ppm"}, {"id": 4, "file_name": "2.ppm"})",
         R"({"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 16, 16]},
            {"id": 2, "image_id": 3, "category_id": 1, "bbox": [8, 8, 16, 16]},
            {"id": 3, "image_id": 4, "category_id": 2, "bbox": [8, 8, 16, 16]})");
  EXPECT_THAT(keys(), ElementsAre("2"));
  ASSERT_EQ(records_["2"].regions.size(), 1u);
  EXPECT_EQ(records_["2"].regions[0].text, "dog") << "the path itself comes before a tail";
  EXPECT_EQ(skips_.count(skip::kMissingImage), 3);
}

TEST_F(ForeignCoco, ANameThatFitsTwoPicturesFitsNone) {
  picture("a/1.ppm");
  picture("b/1.ppm");
  picture("c.ppm");
  import(R"({"id": 1, "file_name": "1.ppm"}, {"id": 2, "file_name": "c.ppm"},
            {"id": 3, "file_name": "x/b/1.ppm"})",
         R"({"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 16, 16]})");
  EXPECT_THAT(keys(), ElementsAre("b/1", "c"));
  EXPECT_EQ(skips_.count(skip::kMissingImage), 1);
}

TEST_F(ForeignCoco, APictureOfTheFolderBesideIsNotTaken) {
  picture("1.ppm");
  file("val/1.ppm", fixtures::tiny_ppm(10, 10));  // images/ is the root, val/ lies beside it
  picture("2.ppm");
  import(R"({"id": 1, "file_name": "val/1.ppm"}, {"id": 2, "file_name": "2.ppm"})", "");
  EXPECT_THAT(keys(), ElementsAre("2"));
  EXPECT_EQ(skips_.count(skip::kMissingImage), 1);
}

TEST_F(ForeignCoco, IdsAreComparedAsTextAndNumber) {
  picture("a.ppm");
  picture("b.ppm");
  import(R"({"id": "img_1", "file_name": "a.ppm"}, {"id": 7, "file_name": "b.ppm"})",
         R"({"id": "x", "image_id": "img_1", "category_id": "1", "bbox": [8, 8, 16, 16]},
            {"id": 2, "image_id": "7", "category_id": 2.0, "bbox": [8, 8, 16, 16]},
            {"id": 3, "image_id": 7.0, "category_id": 1, "bbox": [9, 8, 16, 16]})");
  EXPECT_EQ(records_["a"].regions.size(), 1u);
  EXPECT_EQ(records_["b"].regions.size(), 2u);
  EXPECT_EQ(skips_.total(), 0);
}

TEST_F(ForeignCoco, IdsThatStandForTwoThingsStandForNone) {
  picture("a.ppm");
  picture("b.ppm");
  import(R"({"id": 1, "file_name": "a.ppm"}, {"id": 1, "file_name": "b.ppm"})",
         R"({"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 16, 16]})");
  EXPECT_EQ(report_.regions, 0);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 1);
}

TEST_F(ForeignCoco, MissingIdsDoNotMeet) {
  picture("a.ppm");
  picture("b.ppm");
  import(R"({"file_name": "a.ppm"}, {"id": 2, "file_name": "b.ppm"})",
         R"({"id": 1, "category_id": 1, "bbox": [8, 8, 16, 16]})");
  EXPECT_EQ(report_.regions, 0);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 1);
}

TEST_F(ForeignCoco, OneBadValueCostsItsAnnotation) {
  picture("a.ppm");
  import(R"({"id": 1, "file_name": "a.ppm", "gsd": NaN, "width": "100", "height": null})",
         R"({"id": 1, "image_id": null, "category_id": 1, "bbox": []},
            {"id": 2, "image_id": 1, "category_id": {}, "bbox": [8, 8, 16, 16]},
            {"id": 3, "image_id": 1, "category_id": 1, "bbox": [8, 8, NaN, 16]},
            {"id": 4, "image_id": 99, "category_id": 1, "bbox": [8, 8, 16, 16]}, 5,
            {"id": 5, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "area": NaN})");
  ASSERT_EQ(records_["a"].regions.size(), 1u);
  expect_box(records_["a"].regions[0].box, 0.1f, 0.2f, 0.3f, 0.6f);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 4);
  EXPECT_EQ(skips_.count(skip::kBadBox), 1);
}

TEST_F(ForeignCoco, CrowdsAreSpeltInManyWays) {
  picture("a.ppm");
  std::string annotations;
  for (const char* crowd :
       {"1", "true", "\"1\"", "1.0", "\"true\"", "0", "false", "\"0\"", "null"}) {
    annotations += (annotations.empty() ? "" : ",") +
                   std::string(R"({"image_id": 1, "category_id": 1, "bbox": [8, 8, 9, 9],)") +
                   "\"iscrowd\": " + crowd + "}";
  }
  import(R"({"id": 1, "file_name": "a.ppm"})", annotations);
  EXPECT_EQ(skips_.count("crowd annotation"), 5);
  EXPECT_EQ(report_.regions, 4);
}

TEST_F(ForeignCoco, PolygonsWithoutBoxesBecomeBoxes) {
  picture("a.ppm");
  import(R"({"id": 1, "file_name": "a.ppm"})",
         R"({"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[8, 8, 24, 8, 24, 24]]},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": null, "segmentation": [[9, 8, 24, 24]]},
            {"segmentation": [[10, 8, 24, 24], [4, 9, 5, 9]], "bbox": [], "id": 3, "image_id": 1,
             "category_id": 1},
            {"id": 4, "image_id": 1, "category_id": 1, "bbox": [0, 0, 0, 0], "segmentation": [[1, 2, 3, 4]]},
            {"id": 5, "image_id": 1, "category_id": 1, "segmentation": {"counts": [1], "size": [2, 2]}})");
  ASSERT_EQ(records_["a"].regions.size(), 4u);
  expect_box(records_["a"].regions[0].box, 0.08f, 0.16f, 0.24f, 0.48f);
  expect_box(records_["a"].regions[2].box, 0.04f, 0.16f, 0.24f, 0.48f);
  EXPECT_EQ(skips_.count(skip::kBadBox), 1);
}

TEST_F(ForeignCoco, TextInOtherEncodings) {
  picture("a.ppm");
  const std::string json =
      R"({"images": [{"id": 1, "file_name": "a.ppm"}], "categories": [{"id": 1, "name": "cat"}],
          "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 16, 16]}]})";
  std::string wide = "\xff\xfe";
  for (const char c : json) wide += {c, '\0'};
  run("coco", {.annotations = file("wide.json", wide)});
  EXPECT_EQ(report_.regions, 1);
  run("coco", {.annotations = file("bom.json", "\xef\xbb\xbf" + json)});
  EXPECT_EQ(report_.regions, 1);
  std::string latin = json;
  latin.replace(latin.find("cat\""), 3, "caf\xe9");
  run("coco", {.annotations = file("latin.json", latin)});
  EXPECT_EQ(report_.regions, 0);
  EXPECT_EQ(skips_.count(skip::kNotUtf8), 1);
}

TEST_F(ForeignCoco, BoxesOfAPictureThatExifTurnsAreTurnedBack) {
  file("images/phone.jpg", exif_jpeg(64, 48, 6));
  import(R"({"id": 1, "file_name": "phone.jpg", "width": 48, "height": 64})",
         R"({"id": 1, "image_id": 1, "category_id": 1, "bbox": [28, 8, 16, 16]})");
  ASSERT_EQ(records_["phone"].regions.size(), 1u);
  expect_box(records_["phone"].regions[0].box, 0.125f, 4 / 48.0f, 0.375f, 20 / 48.0f);
  EXPECT_EQ(report_.images_turned, 1);
  EXPECT_EQ(skips_.total(), 0);
}

TEST_F(ForeignCoco, AnExifTurnThatTheSizeDoesNotTellIsNoted) {
  file("images/upside.jpg", exif_jpeg(64, 48, 3));
  file("images/stored.jpg", exif_jpeg(64, 48, 6));
  import(R"({"id": 1, "file_name": "upside.jpg", "width": 64, "height": 48},
            {"id": 2, "file_name": "stored.jpg", "width": 64, "height": 48})",
         R"({"id": 1, "image_id": 1, "category_id": 1, "bbox": [28, 8, 16, 16]},
            {"id": 2, "image_id": 2, "category_id": 1, "bbox": [28, 8, 16, 16]})");
  EXPECT_EQ(report_.regions, 2);
  EXPECT_EQ(report_.images_turned, 0);
  ASSERT_EQ(skips_.notes().size(), 1u);
  EXPECT_EQ(skips_.notes().begin()->second, 1) << "the second one's size tells";
}

TEST_F(ForeignCoco, ASizeOfAnotherPictureCostsTheBoxes) {
  picture("a.ppm", 48, 64);
  picture("half.ppm", 33, 24);
  import(R"({"id": 1, "file_name": "a.ppm", "width": 64, "height": 48},
            {"id": 2, "file_name": "half.ppm", "width": 65, "height": 48})",
         R"({"id": 1, "image_id": 1, "category_id": 1, "bbox": [40, 8, 16, 16]},
            {"id": 2, "image_id": 2, "category_id": 1, "bbox": [0, 0, 65, 24]})");
  EXPECT_THAT(keys(), ElementsAre("a", "half"));
  EXPECT_EQ(records_["a"].regions.size(), 0u);
  expect_box(records_["half"].regions.at(0).box, 0, 0, 1, 0.5f);
  EXPECT_EQ(skips_.count(skip::kOtherSize), 1);
}

TEST_F(ForeignCoco, CaptionsOfTheAnnotationsFile) {
  picture("a.ppm");
  import(
      R"({"id": 1, "file_name": "a.ppm"})",
      R"({"id": 1, "image_id": 1, "caption": "a cat"}, {"id": 2, "image_id": 1, "caption": "it"})");
  EXPECT_THAT(records_["a"].captions, ElementsAre("a cat", "it"));
}

std::string voc(const std::string& filename, const std::string& name, int x) {
  const auto n = [](int v) { return std::to_string(v); };
  return "<annotation><filename>" + filename +
         "</filename><size><width>100</width><height>50</height></size><object><name>" + name +
         "</name><bndbox><xmin>" + n(x) + "</xmin><ymin>1</ymin><xmax>" + n(x + 9) +
         "</xmax><ymax>10</ymax></bndbox></object></annotation>";
}

using ForeignVoc = ImportTest;

TEST_F(ForeignVoc, OneFilenameInAllFiles) {
  picture("a.ppm");
  picture("b.ppm");
  file("xml/a.xml", voc("a.ppm", "cat", 1));
  file("xml/b.xml", voc("a.ppm", "dog", 41));
  run("voc", {.annotations = folder_ / "xml"});
  EXPECT_EQ(records_["a"].regions.at(0).text, "cat");
  EXPECT_EQ(records_["b"].regions.at(0).text, "dog");
  EXPECT_EQ(report_.regions, 2);
}

TEST_F(ForeignVoc, ThePictureBesideTheFileComesFirst) {
  for (const char* cam : {"cam1", "cam2"}) {
    picture(std::string(cam) + "/1.ppm");
    file("images/" + std::string(cam) + "/1.xml", voc("1.ppm", cam, 1));
  }
  run("voc", {.annotations = images()});
  EXPECT_EQ(records_["cam1/1"].regions.at(0).text, "cam1");
  EXPECT_EQ(records_["cam2/1"].regions.at(0).text, "cam2");
  EXPECT_EQ(report_.regions, 2);
}

TEST_F(ForeignVoc, FilesOfTwoFoldersDoNotMeetInOnePicture) {
  picture("1.ppm");
  picture("2.ppm");
  file("xml/cam1/1.xml", voc("1.ppm", "cat", 1));
  file("xml/cam2/1.xml", voc("1.ppm", "dog", 1));
  file("xml/2.xml", voc("2.ppm", "dog", 1));
  run("voc", {.annotations = folder_ / "xml"});
  EXPECT_THAT(keys(), ElementsAre("2"));
  EXPECT_EQ(skips_.count(skip::kMissingImage), 2);
}

TEST_F(ForeignVoc, TheFolderTellsPicturesOfOneNameApart) {
  picture("cam1/1.ppm");
  picture("cam2/1.ppm");
  for (const char* cam : {"cam1", "cam2"}) {
    std::string xml = voc("1.ppm", cam, 1);
    xml.insert(xml.find("<filename>"), std::string("<folder>") + cam + "</folder>");
    file("xml/" + std::string(cam) + "_1.xml", xml);
  }
  file("xml/none.xml", voc("1.ppm", "dog", 1));
  run("voc", {.annotations = folder_ / "xml"});
  EXPECT_EQ(records_["cam1/1"].regions.at(0).text, "cam1");
  EXPECT_EQ(records_["cam2/1"].regions.at(0).text, "cam2");
  EXPECT_EQ(skips_.count(skip::kMissingImage), 1);
}

TEST_F(ForeignVoc, EncodingsAreThoseDeclared) {
  picture("a.ppm");
  picture("b.ppm");
  picture("c.ppm");
  file("xml/a.xml", "<?xml version=\"1.0\" encoding=\"gbk\"?>" + voc("a.ppm", "\xc3\xa8", 1));
  file("xml/b.xml", voc("b.ppm", "\xc3\xa8", 1));
  file("xml/c.xml", voc("c.ppm", "\xe9", 1));
  run("voc", {.annotations = folder_ / "xml"});
  EXPECT_THAT(keys(), ElementsAre("a"));
  EXPECT_EQ(records_["a"].regions.at(0).text, "猫");
  EXPECT_EQ(skips_.count(skip::kNotUtf8), 2);
  std::string wide = "\xff\xfe";
  for (const char c : "<?xml version=\"1.0\" encoding=\"UTF-16\"?>" + voc("a.ppm", "cat", 1))
    wide += {c, '\0'};
  file("wide/a.xml", wide);
  run("voc", {.annotations = folder_ / "wide"});
  EXPECT_EQ(records_["a"].regions.at(0).text, "cat");
}

TEST_F(ForeignVoc, PolygonsAndHiddenFiles) {
  picture("a.ppm");
  file("xml/a.xml",
       "<annotation><filename>a.ppm</filename><object><name>cat</name><polygon><x1>11</x1>"
       "<y1>6</y1><x2>20</x2><y2>6</y2><x3>15</x3><y3>10</y3></polygon></object></annotation>");
  file("xml/._a.xml", "no XML");
  file("xml/.ipynb_checkpoints/a-checkpoint.xml", voc("a.ppm", "dog", 1));
  run("voc", {.annotations = folder_ / "xml"});
  ASSERT_EQ(records_["a"].regions.size(), 1u);
  expect_box(records_["a"].regions[0].box, 0.1f, 0.1f, 0.2f, 0.2f);
  EXPECT_EQ(skips_.total(), 0);
}

// Corners are put in order before the first pixel, which counts as 1, becomes 0.
TEST_F(ForeignVoc, CornersInTheWrongOrder) {
  picture("a.ppm");
  file("xml/a.xml",
       "<annotation><filename>a.ppm</filename><object><name>cat</name><bndbox><xmin>20</xmin>"
       "<ymin>6</ymin><xmax>11</xmax><ymax>10</ymax></bndbox></object></annotation>");
  run("voc", {.annotations = folder_ / "xml"});
  ASSERT_EQ(records_["a"].regions.size(), 1u);
  expect_box(records_["a"].regions[0].box, 0.1f, 0.1f, 0.2f, 0.2f);
  EXPECT_EQ(skips_.notes().at("corners of a box in the wrong order"), 1);
}

TEST_F(ForeignVoc, NumbersAsPythonReadsThem) {
  picture("a.ppm");
  file("xml/a.xml",
       "<annotation><filename>a.ppm</filename><object><name>cat</name><bndbox><xmin>+11</xmin>"
       "<ymin> 6 </ymin><xmax>2e1</xmax><ymax>10.0</ymax></bndbox></object></annotation>");
  run("voc", {.annotations = folder_ / "xml"});
  ASSERT_EQ(records_["a"].regions.size(), 1u);
  expect_box(records_["a"].regions[0].box, 0.1f, 0.1f, 0.2f, 0.2f);
}

class ForeignYolo : public ImportTest {
 protected:
  // The regions that `lines` of one picture become.
  std::vector<Region> regions(const std::string& lines, const std::string& yaml = "") {
    picture("a.ppm");
    file("labels/a.txt", lines);
    run("yolo", {.annotations = file("data.yaml", yaml + "names: [cat, dog]\n")});
    return records_["a"].regions;
  }
};

TEST_F(ForeignYolo, ClassesMayBeWrittenAsDecimals) {
  const auto found = regions(
      "1.0 0.5 0.5 0.5 0.5\n1.000000000000000000e+00 5.0e-01 5.0e-01 5.0e-01 5.0e-01\n"
      "0.5 0.5 0.5 0.5 0.5\n-1 0.5 0.5 0.5 0.5\n");
  ASSERT_EQ(found.size(), 2u);
  for (const auto& region : found) {
    EXPECT_EQ(region.text, "dog");
    expect_box(region.box, 0.25f, 0.25f, 0.75f, 0.75f);
    EXPECT_EQ(region.score, 1);
  }
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 2);
}

TEST_F(ForeignYolo, ScoresAndTracksFollowTheBox) {
  const auto found = regions(
      "0 0.5 0.5 0.5 0.5 0.9 7\n0 0.5 0.5 0.5 0.5 12\n"
      "0 0.5 0.5 0.5 0.5 0.8 1\n0 0.5 0.5 0.5 0.5 1.5\n");
  ASSERT_EQ(found.size(), 3u);
  for (const auto& region : found) expect_box(region.box, 0.25f, 0.25f, 0.75f, 0.75f);
  EXPECT_FLOAT_EQ(found[0].score, 0.9f);
  EXPECT_EQ(found[0].extra["track"], 7);
  EXPECT_EQ(found[1].extra["track"], 12);
  EXPECT_FLOAT_EQ(found[2].score, 0.8f);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 1);
}

TEST_F(ForeignYolo, KeypointsAreNotPolygons) {
  std::string pose = "0 0.5 0.5 0.5 0.5";
  for (int i = 0; i < 17; ++i) pose += " 0.4 0.4 2";
  auto found = regions(pose + "\n0 0.5 0.5 0.5 0.5\n0 0.5 0.5 0.5 0.5 0.4\n" + pose + " 0.7 3\n",
                       "kpt_shape: [17, 3]\n");
  ASSERT_EQ(found.size(), 4u);
  for (const auto& region : found) expect_box(region.box, 0.25f, 0.25f, 0.75f, 0.75f);
  EXPECT_FLOAT_EQ(found[3].score, 0.7f);
  // Two points, and no kpt_shape: an even count as of a polygon.
  found = regions("0 0.5 0.5 0.5 0.5 0.4 0.4 2 0.6 0.6 1\n0 0.5 0.5 0.5 0.5 0.4 0.4 1 0.6 0.6 1\n");
  EXPECT_EQ(found.size(), 0u);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 2);
  found = regions("0 0.1 0.1 0.4 0.1 0.4 0.4\n", "kpt_shape: [17, 3]\n");
  EXPECT_EQ(found.size(), 0u) << "no polygon where data.yaml says keypoints";
}

TEST_F(ForeignYolo, PolygonsWithAndWithoutScore) {
  const auto found = regions(
      "0 0.1 0.2 0.3 0.2 0.3 0.6\n1 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6 0.55\n"
      "0 0 0 1 0 1 1 0 1 0 0\n0 10 20 30 20 30 60\n0 20 30 40 50\n");
  ASSERT_EQ(found.size(), 3u);
  expect_box(found[0].box, 0.1f, 0.2f, 0.3f, 0.6f);
  expect_box(found[1].box, 0.1f, 0.2f, 0.3f, 0.6f);
  EXPECT_FLOAT_EQ(found[1].score, 0.55f);
  expect_box(found[2].box, 0, 0, 1, 1);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 2) << "pixels";
  EXPECT_EQ(skips_.notes().at("last of an odd count of numbers is taken for a polygon's score"), 1);
}

TEST_F(ForeignYolo, ALineThatCouldBeTwoThingsFollowsTheOthers) {
  const std::string line = "0 0.5 0.5 0.5 0.5 0.9 1\n";
  EXPECT_EQ(regions(line).size(), 0u);
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 1);
  auto found = regions(line + "0 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6\n");
  ASSERT_EQ(found.size(), 2u);
  expect_box(found[1].box, 0.5f, 0.5f, 0.9f, 1);
  found = regions(line + "0 0.1 0.2 0.1 0.2 0.5\n");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_FLOAT_EQ(found[1].score, 0.9f);
}

TEST_F(ForeignYolo, DarknetsObjDataNamesTheNames) {
  picture("train/a.ppm");
  file("images/train/a.txt",
       "\xef\xbb\xbf"
       "0 0.5 0.5 0.5 0.5\n");
  file("obj.names",
       "\xef\xbb\xbf"
       "car\n\nbus\n");
  run("yolo", {.annotations = file("obj.data",
                                   "classes = 3\ntrain = data/train.txt\n"
                                   "names = data/obj.names\nbackup = b/\n")});
  EXPECT_EQ(records_["train/a"].regions.at(0).text, "car");
  file("images/train/a.txt", "2 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.5 0.5\n");
  run("yolo", {.annotations = folder_ / "obj.names"});
  ASSERT_EQ(records_["train/a"].regions.size(), 1u);
  EXPECT_EQ(records_["train/a"].regions[0].text, "bus") << "an empty line is a class without name";
  EXPECT_THAT(error_of([&] { run("yolo", {.annotations = file("x.data", "classes = 1\n")}); }),
              HasSubstr("names"));
}

TEST_F(ForeignYolo, EveryImagesOfAPathMayBeLabels) {
  picture("siteA/images/x.ppm");
  file("labels/siteA/images/x.txt", "0 0.5 0.5 0.5 0.5\n");
  run("yolo", {.annotations = file("data.yaml", "names: [cat]\n")});
  EXPECT_EQ(report_.regions, 1);
}

TEST_F(ForeignYolo, NoLabelFileFoundIsSaid) {
  picture("a.ppm");
  picture("b.ppm");
  file("annotations/a.txt", "0 0.5 0.5 0.5 0.5\n");
  run("yolo", {.annotations = file("data.yaml", "names: [cat]\n")});
  EXPECT_EQ(report_.images, 2);
  EXPECT_EQ(skips_.notes().count("not one picture has a label file"), 1u);
}

TEST_F(ForeignYolo, LabelsWithoutPictureAndPicturesOfOneName) {
  picture("x/1.ppm");
  picture("y/1.ppm");
  picture("z/2.ppm");
  file("labels/1.txt", "0 0.5 0.5 0.5 0.5\n");
  file("labels/2.txt", "0 0.5 0.5 0.5 0.5\n");
  file("labels/classes.txt", "cat\n");
  run("yolo", {.annotations = folder_ / "labels"});
  EXPECT_EQ(report_.regions, 1) << "1.txt belongs to one of two pictures";
  EXPECT_THAT(skips_.first_names(skip::kMissingImage), ElementsAre("1"));
}

}  // namespace
}  // namespace opencloc
