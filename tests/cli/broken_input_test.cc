// What breaks in practice, through the binary: a clear error or a counted skip, and nothing lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "opencloc/base/json.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/shard_writer.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_line;
using fixtures::run_binary;
using fixtures::TempFolder;
using ::testing::HasSubstr;
using ::testing::Not;

// Exit code `exit_code`, and as the last thing said one line that holds `part`.
void expect_error(const fixtures::RunResult& result, int exit_code, const std::string& part) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  const std::string line = error_line(result);
  EXPECT_THAT(line, HasSubstr(part)) << result.err;
  EXPECT_EQ(line.find('\n'), line.size() - 1) << "more than one line: " << line;
}

// Cuts `path` after `share` of its bytes.
void cut_short(const fs::path& path, double share) {
  fs::resize_file(path, static_cast<uintmax_t>(static_cast<double>(fs::file_size(path)) * share));
}

class BrokenInput : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto made = run_binary("data scenes --count 16 --size 64 --names 20 --seed 1 --out " +
                                 scenes().string());
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }

  fs::path scenes() const { return folder_ / "scenes"; }

  // 6 steps with a checkpoint every 2, in a second or so.
  fixtures::RunResult train(const fs::path& data, const fs::path& out,
                            const std::string& flags = "") const {
    return run_binary(
        "train --model ViT-Test --vocab-size 300 --steps 6 --batch-size 4 --save-every 2 "
        "--keep-checkpoints 0 --report-pictures 0 --workers 1 --threads 1 --data " +
        data.string() + " --out " + out.string() + " " + flags);
  }

  static std::string weights(const fs::path& run) {
    return read_file(run / "model/open_clip_model.safetensors") +
           read_file(run / "model/cloc_heads.safetensors");
  }

  // The scenes again, each record changed by `change`, in a shard of their own.
  template <typename Change>
  fs::path changed_scenes(const std::string& name, const Change& change) const {
    SkipCounter skips;
    ShardReader reader((scenes() / "00000.tar").string(), skips);
    ShardWriter writer(folder_ / name);
    int i = 0;
    for (Record record; reader.next(record); ++i) {
      change(i, record);
      writer.write(record);
    }
    writer.commit();
    return folder_ / name;
  }

  TempFolder folder_;
};

TEST_F(BrokenInput, MissingFilesAreNamed) {
  const std::string nowhere = (folder_ / "nowhere").string();
  expect_error(train(nowhere, folder_ / "run"), 2, "nowhere");
  EXPECT_FALSE(fs::exists(folder_ / "run"));
  expect_error(run_binary("eval --model " + nowhere + " --data " + scenes().string()), 2,
               "nowhere");
  expect_error(train(scenes(), folder_ / "run", "--init " + nowhere), 2, "nowhere");
  expect_error(run_binary("compare A=" + nowhere), 2, "nowhere");
}

TEST_F(BrokenInput, ACorruptShardStopsTrainingUnlessToldToSkipIt) {
  write_file(scenes() / "00001.tar", std::string(4000, 'x'));
  expect_error(train(scenes(), folder_ / "run"), 2, "00001.tar");
  const auto skipping = train(scenes(), folder_ / "run", "--skip-bad-shards");
  EXPECT_EQ(skipping.exit_code, 0) << skipping.err;
  EXPECT_THAT(skipping.err, HasSubstr("00001.tar"));
}

TEST_F(BrokenInput, AShardCutShortLosesOnlyItsLastSample) {
  cut_short(scenes() / "00000.tar", 0.5);
  const auto stats = run_binary("data stats --json --data " + scenes().string());
  EXPECT_EQ(stats.exit_code, 0) << stats.err;
  const Json found = parse_json(stats.out, "stdout");
  EXPECT_GE(found["images"].get<int>(), 4);
  EXPECT_EQ(found["skipped"]["member cut short"], 1);
  const auto trained = train(scenes(), folder_ / "run");
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
}

TEST_F(BrokenInput, PicturesThatDoNotDecodeAreCountedAndTrainingGoesOn) {
  const auto shard = changed_scenes("rot.tar", [](int i, Record& record) {
    if (i % 4 == 1) record.image.resize(record.image.size() / 2);
    if (i % 4 == 2) record.image = "not a picture";
  });
  const auto trained = train(shard, folder_ / "run");
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_THAT(trained.err, HasSubstr("image does not decode"));
  const auto all_rotten =
      changed_scenes("all.tar", [](int, Record& record) { record.image = "not a picture"; });
  expect_error(train(all_rotten, folder_ / "run2"), 2, "");
}

TEST_F(BrokenInput, BoxesOutsideThePictureAreClippedOrSkipped) {
  const auto shard = changed_scenes("boxes.tar", [](int i, Record& record) {
    if (i == 0) record.regions.front().box = {-0.5f, 0.2f, 0.5f, 1.7f};  // sticks out
    if (i == 1) record.regions.front().box = {1.2f, 1.2f, 1.5f, 1.5f};   // outside
    if (i == 2) record.regions.front().box = {0.5f, 0.5f, 0.2f, 0.2f};   // inverted
  });
  const auto stats = run_binary("data stats --json --data " + shard.string());
  EXPECT_EQ(stats.exit_code, 0) << stats.err;
  const Json found = parse_json(stats.out, "stdout");
  EXPECT_EQ(found["skipped"]["box with no area"], 2);
  EXPECT_EQ(found["images"], 16) << "a box costs its region alone";
  const auto trained = train(shard, folder_ / "run");
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
}

TEST_F(BrokenInput, PicturesThatNeitherTextNorRegionTellsOfAreCountedAndLeftOut) {
  const auto shard = changed_scenes("mute.tar", [](int i, Record& record) {
    if (i % 2 == 0) record.caption = record.alt_text = "";
    if (i % 2 == 0) record.captions.clear();
    if (i % 4 == 0) record.regions.clear();
  });
  const auto trained = train(shard, folder_ / "run");
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_THAT(trained.err, HasSubstr("no text"));
}

TEST_F(BrokenInput, UnknownKeysAreNamed) {
  write_file(folder_ / "c.toml", "[train]\nbatch-size = 4\nlearning-speed = 1\n");
  expect_error(train(scenes(), folder_ / "run", "--config " + (folder_ / "c.toml").string()), 2,
               "learning-speed");
  write_file(folder_ / "m.json",
             R"({"embed_dim": 32, "vision_cfg": {"image_size": 32, "depht": 2}, "text_cfg": {}})");
  expect_error(run_binary("train --steps 1 --data " + scenes().string() + " --out " +
                          (folder_ / "run").string() + " --model " + (folder_ / "m.json").string()),
               2, "depht");
  EXPECT_FALSE(fs::exists(folder_ / "run/model"));
}

TEST_F(BrokenInput, ACheckpointCutShortIsPassedOver) {
  ASSERT_EQ(train(scenes(), folder_ / "whole").exit_code, 0);
  ASSERT_EQ(train(scenes(), folder_ / "run").exit_code, 0);
  const auto run = folder_ / "run";
  // As if killed after step 4 by something that damaged its checkpoint.
  fs::remove_all(run / "checkpoints/step-6");
  fs::remove_all(run / "model");
  cut_short(run / "checkpoints/step-4/optimizer.safetensors", 0.7);
  const auto resumed = train(scenes(), run);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("step-4"));
  EXPECT_EQ(weights(run), weights(folder_ / "whole"));

  cut_short(run / "checkpoints/step-2/model/open_clip_model.safetensors", 0.5);
  expect_error(
      train(scenes(), folder_ / "run3", "--resume " + (run / "checkpoints/step-2").string()), 2,
      "step-2");
}

TEST_F(BrokenInput, AModelCutShortIsNotLoaded) {
  ASSERT_EQ(train(scenes(), folder_ / "run").exit_code, 0);
  const auto model = folder_ / "run/model";
  const std::string eval =
      "eval --model " + model.string() + " --data " + scenes().string() + " --out ";
  EXPECT_EQ(run_binary(eval + (folder_ / "good.json").string()).exit_code, 0);
  cut_short(model / "open_clip_model.safetensors", 0.9);
  expect_error(run_binary(eval + (folder_ / "bad.json").string()), 2,
               "open_clip_model.safetensors");
  EXPECT_FALSE(fs::exists(folder_ / "bad.json"));
}

// A disk that fills up during training: the error says so, the checkpoints before it are whole, and
// with room again the run ends as if nothing had happened.
TEST_F(BrokenInput, AFullDiskLosesNothing) {
  const fs::path disk = folder_ / "disk";
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=3m") != 0) {
    GTEST_SKIP() << "cannot mount a small tmpfs: needs root";
  }
  const auto full = train(scenes(), disk / "run");
  expect_error(full, 1, "No space left");
  size_t checkpoints = 0;
  for (const auto& entry : fs::directory_iterator(disk / "run/checkpoints")) {
    EXPECT_TRUE(fs::exists(entry.path() / "state.json")) << entry.path();
    ++checkpoints;
  }
  EXPECT_GE(checkpoints, 1u);
  ASSERT_EQ(::mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=64m"), 0);
  const auto resumed = train(scenes(), disk / "run");
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, Not(HasSubstr("building a tokenizer")));
  ASSERT_EQ(train(scenes(), folder_ / "whole").exit_code, 0);
  EXPECT_EQ(weights(disk / "run"), weights(folder_ / "whole"));
  ::umount2(disk.c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace opencloc
