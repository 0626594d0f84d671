#include "opencloc/dialogue/export.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/dialogue/layout.h"
#include "tests/data/tar_maker.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_of;
using ::testing::HasSubstr;

// Three pictures, of 16:9 in both orientations and a square one, with the same dialogues.
class ExportTest : public ::testing::Test {
 protected:
  ExportTest() {
    ShardWriter writer(shard());
    writer.write(record("wide", 160, 90));
    writer.write(record("tall", 90, 160));
    writer.write(record("square", 100, 100));
    writer.commit();
  }

  static Record record(const std::string& key, int width, int height) {
    Record made = fixtures::make_test_record(key);
    made.image = fixtures::tiny_ppm(width, height);
    Dialogue ground{"ground",
                    {{"What is the location of red fox in the image?", "red fox <box0>."}},
                    {{0.1f, 0.2f, 0.55f, 0.9f}},
                    {},
                    Json::object()};
    Dialogue point{"point",
                   {{"Is the object <point0> of the image a fox or a bat?", "fox"}},
                   {{0.1f, 0.2f, 0.55f, 0.9f}},
                   {{0.25f, 0.5f}},
                   Json::object()};
    set_dialogues({ground, point}, made);
    return made;
  }

  std::string shard() const { return (folder_ / "x.tar").string(); }
  fs::path out() const { return folder_ / "out"; }

  ExportReport write(ExportOptions options, bool overwrite = false) {
    skips_ = std::make_unique<SkipCounter>(0);
    if (options.format != ExportFormat::kQwen) options.frame.frame = default_frame(options.format);
    return export_dialogues({shard()}, out(), overwrite, options, *skips_);
  }
  // The conversation with this id.
  Json row(const std::string& file, const std::string& id) const {
    for (const Json& one : read_json(out() / file))
      if (one["id"] == id) return one;
    return {};
  }
  static std::string said(const Json& row, size_t turn) {
    return row["conversations"][turn]["value"];
  }

  fixtures::TempFolder folder_;
  std::unique_ptr<SkipCounter> skips_;
};

TEST_F(ExportTest, LlavaSeesThePaddedSquare) {
  const ExportReport report = write({.format = ExportFormat::kLlava});
  EXPECT_EQ(report.pictures, 3);
  EXPECT_EQ(report.conversations, 6);
  const Json wide = row("llava.json", "wide_0");
  EXPECT_EQ(wide["image"], "wide.ppm");
  EXPECT_EQ(wide["conversations"][0]["from"], "human");
  EXPECT_EQ(said(wide, 0), "<image>\nWhat is the location of red fox in the image?");
  // 35 rows above 90 in a square of 160.
  EXPECT_EQ(said(wide, 1), "red fox [0.1, 0.33, 0.55, 0.72].");
  EXPECT_EQ(said(row("llava.json", "tall_0"), 1), "red fox [0.28, 0.2, 0.53, 0.9].");
  EXPECT_EQ(said(row("llava.json", "square_0"), 1), "red fox [0.1, 0.2, 0.55, 0.9].");
  EXPECT_THAT(said(row("llava.json", "wide_1"), 0), HasSubstr("the object [0.25, 0.5] of"));
  EXPECT_EQ(read_file(out() / "images/tall.ppm"), fixtures::tiny_ppm(90, 160));
}

TEST_F(ExportTest, FerretGetsPixelsAndItsOwnPlaceholders) {
  write({.format = ExportFormat::kFerret});
  const Json wide = row("refexp.json", "wide_0");
  EXPECT_EQ(wide["image_w"], 160);
  EXPECT_EQ(wide["image_h"], 90);
  EXPECT_EQ(said(wide, 1), "red fox <bbox_location0>.");
  EXPECT_EQ(dump_json(wide["box_x1y1x2y2"]), "[[],[[16,18,88,81]]]");
  EXPECT_EQ(dump_json(row("refexp.json", "tall_0")["box_x1y1x2y2"]), "[[],[[9,32,50,144]]]");
  const Json point = row("vg_object.json", "wide_1");
  EXPECT_THAT(said(point, 0), HasSubstr("the object <bbox_location0> of"));
  EXPECT_EQ(dump_json(point["box_x1y1x2y2"]), "[[[16,18,88,81]],[]]");
}

TEST_F(ExportTest, InternvlAndQwenHaveTheirMarks) {
  write({.format = ExportFormat::kInternvl});
  const std::string lines = read_file(out() / "internvl.jsonl");
  EXPECT_THAT(lines, HasSubstr("<ref>red fox</ref><box>[[100, 200, 550, 900]]</box>."));
  const Json first = parse_json(lines.substr(0, lines.find('\n')), "line");
  EXPECT_EQ(first["width"], 160);
  EXPECT_EQ(read_json(out() / "meta.json")["opencloc"]["length"], 6);

  const auto qwen = [this](Frame frame, const std::string& id) {
    write({.format = ExportFormat::kQwen, .frame = {.frame = frame}}, true);
    return said(row("qwen.json", id), 1);
  };
  EXPECT_EQ(qwen(Frame::kQwen3, "wide_0"),
            "```json\n[\n\t{\"bbox_2d\": [100, 200, 550, 900], \"label\": \"red fox\"}\n]\n```");
  // 160 x 90 becomes 168 x 84, 90 x 160 becomes 84 x 168.
  EXPECT_THAT(qwen(Frame::kQwen25, "wide_0"), HasSubstr("[17, 17, 92, 76]"));
  EXPECT_THAT(qwen(Frame::kQwen25, "tall_0"), HasSubstr("[8, 34, 46, 151]"));
  EXPECT_EQ(qwen(Frame::kQwen2, "wide_0"),
            "<|object_ref_start|>red fox<|object_ref_end|>"
            "<|box_start|>(100,200),(550,900)<|box_end|>.");
  EXPECT_EQ(read_json(out() / "export.json")["format"], "qwen");
}

TEST_F(ExportTest, JoinedQuestionsAreOneConversation) {
  const ExportReport report = write({.format = ExportFormat::kFerret, .join = true});
  EXPECT_EQ(report.conversations, 3);
  EXPECT_EQ(report.questions, 6);
  const Json wide = row("grounded_llava_boxes.json", "wide");
  ASSERT_EQ(wide["conversations"].size(), 4U);
  EXPECT_THAT(said(wide, 0), HasSubstr("<image>"));
  EXPECT_THAT(said(wide, 2), ::testing::Not(HasSubstr("<image>")));
  EXPECT_EQ(dump_json(wide["box_x1y1x2y2"]), "[[],[[16,18,88,81]],[[16,18,88,81]],[]]");
}

TEST_F(ExportTest, BrokenSamplesAreCountedAndTheFolderIsWhole) {
  {
    ShardWriter writer(shard());
    writer.write(record("good", 160, 90));
    Record broken = record("broken", 160, 90);
    broken.image = "no picture";
    writer.write(broken);
    Record open = record("open", 160, 90);
    open.extra[kDialogues][0]["turns"][0]["say"] = "red fox <box0";
    open.extra[kDialogues][1]["boxes"][0] = {0.5, 0.5, 1.5, 0.9};
    writer.write(open);
    writer.commit();
  }
  const ExportReport report = write({.format = ExportFormat::kLlava});
  EXPECT_EQ(report.pictures, 1);
  EXPECT_EQ(skips_->count(skip::kBadImage), 1);
  EXPECT_EQ(skips_->count(skip::kOpenPlaceholder), 1);
  EXPECT_EQ(skips_->count(skip::kBoxOutside), 1);
  EXPECT_EQ(skips_->count(skip::kNoDialogue), 1) << "nothing is left of 'open'";
  EXPECT_FALSE(fs::exists(out() / "images/open.ppm"));
}

TEST_F(ExportTest, NothingIsWrittenWhenNothingCanBe) {
  {
    ShardWriter writer(shard());
    Record empty = record("a", 160, 90);
    empty.extra[kDialogues] = Json::array();
    writer.write(empty);
    writer.commit();
  }
  EXPECT_THAT(error_of([this] { write({.format = ExportFormat::kLlava}); }),
              HasSubstr("no sample has a dialogue"));
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(ExportTest, AFolderWithFilesIsReplacedOnlyWhenAsked) {
  write_file(out() / "mine.txt", "mine");
  EXPECT_THAT(error_of([this] { write({.format = ExportFormat::kLlava}); }),
              HasSubstr("not empty"));
  EXPECT_TRUE(fs::exists(out() / "mine.txt"));
  write({.format = ExportFormat::kLlava}, true);
  EXPECT_FALSE(fs::exists(out() / "mine.txt"));
}

TEST_F(ExportTest, KeysThatRepeatGetNamesOfTheirOwn) {
  fs::copy_file(shard(), folder_ / "y.tar");
  SkipCounter skips(0);
  const ExportReport report =
      export_dialogues({shard(), (folder_ / "y.tar").string()}, out(), false, {}, skips);
  EXPECT_EQ(report.pictures, 6);
  EXPECT_TRUE(fs::exists(out() / "images/wide-1.ppm"));
}

TEST_F(ExportTest, RecordsWithoutDialoguesGetSome) {
  {
    ShardWriter writer(shard());
    Record labelled = fixtures::make_test_record("1");
    labelled.regions = {{{0.1f, 0.2f, 0.5f, 0.9f}, "fox", 1, "human", Json::object()}};
    writer.write(labelled);
    writer.commit();
  }
  const ExportReport report = write({.format = ExportFormat::kLlava});
  EXPECT_GE(report.questions, 2);
  EXPECT_FALSE(report.made.empty());
}

TEST(FerretPixel, GivesTheNearestThousandthThatFerretCanSay) {
  for (const int side : {500, 640, 720, 1280, 1999}) {
    for (int i = 0; i <= 997; ++i) {
      const double value = i / 1000.0 + 0.0004;
      const int pixel = ferret_pixel(value, side);
      const double said = std::floor(pixel * (1000.0 / side));
      EXPECT_LE(std::abs(said - 1000 * value), 1.0) << value << " of " << side;
    }
  }
  EXPECT_EQ(ferret_pixel(1.0, 640), 639) << "Ferret's last pixel";
  EXPECT_EQ(ferret_pixel(0.0, 640), 0);
  EXPECT_LE(std::abs(ferret_pixel(0.5, 64) - 32), 1);
}

}  // namespace
}  // namespace opencloc
