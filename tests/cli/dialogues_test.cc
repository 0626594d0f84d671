// `opencloc data dialogues` and `opencloc data export` from end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/data/shard/shard_writer.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::run_binary;
using ::testing::HasSubstr;

class DialoguesVerb : public fixtures::BinaryTest {
 protected:
  DialoguesVerb() {
    ShardWriter writer(at("labelled.tar"));
    for (int i = 0; i < 6; ++i) {
      Record record = fixtures::make_test_record(std::to_string(i));
      record.image = i == 5 ? "no picture" : fixtures::tiny_ppm(160, 90);
      if (i != 4) {
        record.regions = {
            {{0.1f, 0.2f, 0.5f, 0.9f}, i % 2 == 0 ? "fox" : "bat", 1, "human", Json::object()},
            {{0.6f, 0.2f, 0.9f, 0.9f}, i % 2 == 0 ? "cup" : "kite", 1, "human", Json::object()}};
      } else {
        record.caption.clear();
      }
      writer.write(record);
    }
    writer.commit();
  }
  std::string dialogues(const std::string& flags) const {
    return "data dialogues --data " + at("labelled.tar") + " --out " + at("talking") + " " + flags;
  }
  std::string export_to(const std::string& data, const std::string& flags) const {
    return "data export --data " + at(data) + " --out " + at("out") + " " + flags;
  }
};

TEST_F(DialoguesVerb, MakesThemAndEveryFormatReadsThem) {
  const auto made = run_binary(dialogues("--seed 1 --threads 2 --json"));
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const Json report = parse_json(made.out, "stdout");
  EXPECT_EQ(report["samples"], 4);
  EXPECT_EQ(report["skipped"]["image does not decode"], 1);
  EXPECT_EQ(report["skipped"]["nothing to ask about"], 1);
  EXPECT_THAT(made.err, HasSubstr("labelled.tar#5"));
  const std::string once = read_file(at("talking/00000.tar"));
  const auto again = run_binary(dialogues("--seed 1 --threads 1 --overwrite"));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(read_file(at("talking/00000.tar")), once) << "whatever the threads";
  EXPECT_THAT(again.out, HasSubstr("4 samples in 1 shards"));

  for (const std::string format : {"ferret", "llava", "qwen", "internvl"}) {
    const auto result =
        run_binary(export_to("talking", "--format " + format + " --overwrite --json"));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const Json said = parse_json(result.out, "stdout");
    EXPECT_EQ(said["pictures"], 4) << format;
    EXPECT_GT(said["questions"], 8) << format;
    EXPECT_TRUE(fs::exists(at("out/images/0.ppm")));
    EXPECT_EQ(read_json(at("out/export.json"))["format"], format);
  }
}

TEST_F(DialoguesVerb, LabelledShardsAreExportedAsTheyAre) {
  const auto result =
      run_binary(export_to("labelled.tar", "--format llava --tasks ground --per-picture 1 --json"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(parse_json(result.out, "stdout")["made"]["ground"], 4);
  // 35 rows of padding above the 90: 0.2 of the height is (35 + 18) / 160.
  const std::string text = read_file(at("out/llava.json"));
  EXPECT_TRUE(text.find("[0.1, 0.33, 0.5, 0.72]") != std::string::npos ||
              text.find("[0.6, 0.33, 0.9, 0.72]") != std::string::npos)
      << text;
}

TEST_F(DialoguesVerb, WrongUseIsOneLine) {
  write_file(at("t.json"), R"({"exist": ["Is there a {name}?"]})");
  EXPECT_THAT(refused(dialogues("--templates " + at("t.json"))),
              HasSubstr("unknown template 'exist'"));
  EXPECT_THAT(refused(dialogues("--templates " + at("none.json"))), HasSubstr("none.json"));
  EXPECT_THAT(refused(dialogues("--tasks talk")), HasSubstr("unknown task 'talk'"));
  EXPECT_THAT(refused(dialogues("--tasks talk")), HasSubstr("--tasks"));
  EXPECT_FALSE(fs::exists(at("talking")));
  EXPECT_THAT(refused(dialogues("--tasks relation --min-score 2")), HasSubstr("'opencloc label'"));
  EXPECT_THAT(refused(export_to("labelled.tar", "--format blip")), HasSubstr("blip"));
  EXPECT_THAT(refused(export_to("none", "--format llava")), HasSubstr("none"));
  write_file(at("out/mine.txt"), "mine");
  EXPECT_THAT(refused(export_to("labelled.tar", "--format llava")), HasSubstr("--overwrite"));
}

}  // namespace
}  // namespace opencloc
