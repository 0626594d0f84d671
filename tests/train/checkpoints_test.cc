#include "opencloc/train/checkpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/config/config.h"
#include "opencloc/train/metrics_log.h"
#include "tests/data/tar_maker.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CheckpointsTest : public ::testing::Test {
 protected:
  CheckpointsTest() : model_(load_model_config("ViT-Test")), optimizer_(parameters(), {}) {
    state_.position.sources = {{2, 7}};
    state_.data_sizes = {40};
    state_.objective = {{"open", true}};
    state_.metrics_bytes = 123;
    state_.seed = 0xffffffffffffffffULL;
  }
  NamedTensors parameters() { return model_->clip_weights(); }
  void save(int64_t step) {
    state_.step = step;
    state_.samples = 4 * step;
    const auto model = [&](const fs::path& folder) { save_model(folder, model_, {}); };
    save_checkpoint(run_.path(), state_, model, {optimizer_.moments(), {}});
  }
  fs::path path(int64_t step) {
    return run_.path() / "checkpoints" / ("step-" + std::to_string(step));
  }

  fixtures::TempFolder run_;
  Cloc model_;
  AdamW optimizer_;
  TrainState state_;
};

TEST_F(CheckpointsTest, GivesBackWhatWasSaved) {
  save(5);
  const auto found = find_checkpoint(run_.path(), "auto");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state.step, 5);
  EXPECT_EQ(found->state.samples, 20);
  EXPECT_EQ(found->state.seed, state_.seed);
  EXPECT_EQ(found->state.position, state_.position);
  EXPECT_EQ(found->state.data_sizes, state_.data_sizes);
  EXPECT_EQ(found->state.metrics_bytes, 123U);
  EXPECT_TRUE(found->state.objective["open"].get<bool>());
  EXPECT_FALSE(find_checkpoint(run_.path(), "none"));
  EXPECT_EQ(find_checkpoint("/nowhere", path(5).string())->state.step, 5);
}

TEST_F(CheckpointsTest, StepsAreOrderedAsNumbersAndPruned) {
  for (const int64_t step : {9, 10, 100}) save(step);
  EXPECT_EQ(find_checkpoint(run_.path(), "latest")->state.step, 100);
  prune_checkpoints(run_.path(), 0);
  EXPECT_EQ(list_checkpoints(run_.path()).size(), 3U);
  prune_checkpoints(run_.path(), 2);
  EXPECT_FALSE(fs::exists(path(9)));
  EXPECT_EQ(list_checkpoints(run_.path()).size(), 2U);
}

// Every way a checkpoint can be damaged: auto goes back to the one before, naming it is an error.
TEST_F(CheckpointsTest, ADamagedCheckpointIsPassedOverOrAnError) {
  const auto cut = [](const fs::path& file) { fs::resize_file(file, fs::file_size(file) / 2); };
  const auto flip = [](const fs::path& file) {
    std::string bytes = read_file(file);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_file(file, bytes);
  };
  const std::vector<std::pair<std::string, std::function<void()>>> damages = {
      {"cut short", [&] { cut(path(2) / "optimizer.safetensors"); }},
      {"checksum", [&] { flip(path(2) / "optimizer.safetensors"); }},
      {"cut short", [&] { cut(path(2) / "model" / "open_clip_model.safetensors"); }},
      {"without this file", [&] { fs::remove(path(2) / "model" / "open_clip_config.json"); }},
      {"JSON", [&] { cut(path(2) / "state.json"); }},
      {"not a checkpoint", [&] { fs::remove(path(2) / "state.json"); }},
      {"another version",
       [&] { write_file(path(2) / "state.json", R"({"format": 99, "files": []})"); }},
      {"'position' is missing",
       [&] {
         write_file(path(2) / "state.json",
                    R"({"format": 1, "files": [], "step": 1, "samples": 1, "seed": 1})");
       }},
      {"not a checkpoint's state",
       [&] { write_file(path(2) / "state.json", R"({"format": 1, "files": [{"path": 3}]})"); }},
  };
  for (const auto& [message, damage] : damages) {
    save(1);
    save(2);
    damage();
    const auto found = find_checkpoint(run_.path(), "auto");
    ASSERT_TRUE(found) << message;
    EXPECT_EQ(found->state.step, 1) << message;
    try {
      find_checkpoint(run_.path(), path(2).string());
      ADD_FAILURE() << "no error: " << message;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2);
      EXPECT_THAT(error.what(), HasSubstr(message));
    }
  }
}

TEST_F(CheckpointsTest, LatestMustFindOne) {
  EXPECT_FALSE(find_checkpoint(run_.path(), "auto"));
  EXPECT_THROW(find_checkpoint(run_.path(), "latest"), Error);
  EXPECT_THROW(find_checkpoint(run_.path(), (run_ / "elsewhere").string()), Error);
}

TEST(MetricsLog, CutsBackToTheCheckpoint) {
  const fixtures::TempFolder folder;
  const fs::path path = folder / "metrics.jsonl";
  uint64_t at = 0;
  {
    MetricsLog log(path, 0);
    log.write({{"step", 1}});
    at = log.bytes();
    log.write({{"step", 2}});
  }
  {
    MetricsLog log(path, at);
    log.write({{"step", 2}, {"again", true}});
  }
  const auto lines = read_metrics(path);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_TRUE(lines[1].contains("again"));
  write_file(path, R"({"step":1})"
                   "\n"
                   R"({"ste)");
  EXPECT_EQ(read_metrics(path).size(), 1U) << "a line cut short is left out";
  MetricsLog(path, 1000).write({{"step", 2}});  // the file is shorter than it was
}

}  // namespace
}  // namespace opencloc
