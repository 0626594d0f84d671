// Settings of the library's messages become flags on the terminal, and there alone.
#include "opencloc/cli/flag_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

using cli::in_flags;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(FlagNames, ASettingIsItsFlag) {
  EXPECT_EQ(in_flags("too many, setting 'accum_freq': give 1"), "too many, --accum-freq: give 1");
  EXPECT_EQ(in_flags("setting 'lr'"), "--lr");
  EXPECT_EQ(in_flags("use the setting 'device=cpu', or build"), "use --device cpu, or build");
  EXPECT_EQ(in_flags("lower the setting 'lr' or lengthen the setting 'warmup', look"),
            "lower --lr or lengthen --warmup, look");
  EXPECT_EQ(in_flags("setting 'text_from=caption:1,x_y:2': write"),
            "--text-from caption:1,x_y:2: write");
  EXPECT_EQ(in_flags("setting 'point_prompts' plus setting 'mask_prompts'"),
            "--point-prompts plus --mask-prompts");
  EXPECT_EQ(in_flags("setting 'device='"), "--device ");
}

TEST(FlagNames, ListsOfSettings) {
  EXPECT_EQ(in_flags("no length, settings 'steps', 'samples' and 'epochs': give one"),
            "no length, --steps, --samples and --epochs: give one");
  EXPECT_EQ(in_flags("check the settings 'format', 'csv_img_key', or 'split'"),
            "check --format, --csv-img-key, or --split");
  EXPECT_EQ(in_flags("use the settings 'to=hf' or 'to=gguf'"), "use --to hf or --to gguf");
  // What follows the list is text, quotes or not.
  EXPECT_EQ(in_flags("settings 'a' and 'b', or name the columns"),
            "--a and --b, or name the columns");
  EXPECT_EQ(in_flags("settings 'a' and 'B'"), "--a and 'B'");
  // One setting is no list.
  EXPECT_EQ(in_flags("setting 'split', 'val' is not there"), "--split, 'val' is not there");
}

TEST(FlagNames, OtherTextStays) {
  for (const char* text :
       {"", "setting", "settings", "setting ", "setting '", "settings 'a", "the setting",
        "the settings of 'x'", "setting 'A B'", "setting ''", "setting '=x'", "resetting 'lr'",
        "made with other settings, /a/b.tar: name another", "label 'steps', --out x",
        "setting's"}) {
    EXPECT_EQ(in_flags(text), text);
  }
  EXPECT_EQ(in_flags("bathe setting 'lr'"), "bathe --lr");
  EXPECT_EQ(in_flags("setting setting 'lr'\nthe setting 'wd'"), "setting --lr\n--wd");
}

class FlagNamesOfTheBinary : public fixtures::BinaryTest {};

TEST_F(FlagNamesOfTheBinary, ErrorsAndWarnings) {
  const std::string train = "train --data x --out " + at("r");
  EXPECT_THAT(refused(train + " --steps 1 --batch-size 2 --accum-freq 3"),
              HasSubstr("not between 1 and the batch size, --accum-freq: the batch is passed"));
  EXPECT_THAT(refused(train),
              HasSubstr("the run has no length, --steps, --samples and --epochs: "));
  EXPECT_THAT(refused(train + " --steps 1 --overwrite"),
              HasSubstr("--overwrite: add --resume none, or leave it out"));
  write_file(folder_ / "bad.tar", std::string(2000, 'x'));
  const auto skipped = fixtures::run_binary("data stats --skip-bad-shards --data " + at("bad.tar"));
  EXPECT_EQ(skipped.exit_code, 0) << skipped.err;
  EXPECT_THAT(skipped.err, HasSubstr("check the file, or pass --skip-bad-shards"));
  EXPECT_THAT(skipped.err, Not(HasSubstr("setting '")));
}

TEST_F(FlagNamesOfTheBinary, JsonKeepsItsWords) {
  write_file(folder_ / "setting 'lr'.ppm", fixtures::tiny_ppm(4, 4));
  const auto found = fixtures::run_binary("inspect --json \"" + at("setting 'lr'.ppm") + "\"");
  EXPECT_EQ(found.exit_code, 0) << found.err;
  EXPECT_THAT(found.out, HasSubstr("setting 'lr'.ppm"));
}

}  // namespace
}  // namespace opencloc
