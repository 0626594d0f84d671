#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/eval/evaluate.h"
#include "opencloc/train/checkpoints.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/run_folder.h"
#include "opencloc/train/trainer.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::final_weights;
using fixtures::TempFolder;
using fixtures::tiny_config;
using fixtures::write_squares;
using ::testing::HasSubstr;

class RunTest : public ::testing::Test {
 protected:
  RunTest() { write_squares(folder_ / "a.tar", 20); }
  TrainConfig config(const std::string& out = "run") {
    return tiny_config(folder_ / "a.tar", folder_ / out);
  }
  template <typename Function>
  std::string error_of(Function function, int exit_code) {
    try {
      function();
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), exit_code) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "no error";
    return "";
  }
  TempFolder folder_;
};

// Metrics without what a clock measured.
std::vector<Json> untimed(const fs::path& run) {
  auto lines = read_metrics(run / "metrics.jsonl");
  for (auto& line : lines) {
    line.erase("samples_per_s");
    line.erase("loader_wait");
  }
  return lines;
}

TEST_F(RunTest, GoesFromShardsToAModelDirectory) {
  auto options = config();
  write_squares(folder_ / "val.tar", 10, 1000);
  options.val = (folder_ / "val.tar").string();
  options.evaluate = [&](Cloc& model, const Tokenizer& tokenizer, int64_t step,
                         dist::Group& /*group*/) {
    EXPECT_EQ(step, 8);
    return evaluate(model, tokenizer, options.val);
  };
  options.report_pictures = 2;
  options.keep_checkpoints = 2;
  options.effective = "lr = 0.001\n";
  const auto result = train(options);
  EXPECT_EQ(result.steps, 8);
  EXPECT_GT(result.loss, 0);

  const auto loaded = load_model(options.out / "model");
  EXPECT_TRUE(loaded.has_region_heads);
  ASSERT_TRUE(loaded.tokenizer);
  EXPECT_EQ(loaded.model->config().text.vocab_size, loaded.tokenizer->vocab_size());
  EXPECT_EQ(list_checkpoints(options.out).size(), 2U);
  EXPECT_EQ(read_file(options.out / "config.toml"), "lr = 0.001\n");

  const auto lines = read_metrics(options.out / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 9U);  // 8 steps and the evaluation
  for (int i = 0; i < 8; ++i) {
    const Json& line = lines[static_cast<size_t>(i)];
    EXPECT_EQ(line["step"], i + 1);
    for (const char* key :
         {"samples", "loss", "loss_clip", "loss_region", "loss_grounding", "loss_recovery",
          "logit_scale", "region_logit_scale", "removed_share", "similar_share", "grounding_iou",
          "lr", "grad_norm", "samples_per_s", "loader_wait", "constant_box_iou", "skipped"}) {
      EXPECT_TRUE(line.contains(key)) << key;
    }
  }
  EXPECT_TRUE(lines[8]["eval"].contains("retrieval"));

  const std::string report = read_file(options.out / "report.html");
  for (const char* part : {"<svg", "L_grounding", "data:image/jpeg;base64,", "IoU", "retrieval"}) {
    EXPECT_THAT(report, HasSubstr(part));
  }
  EXPECT_THAT(report, Not(HasSubstr("http")));  // self-contained
}

TEST_F(RunTest, TheSameConfigurationGivesTheSameWeightsWhateverTheWorkers) {
  auto options = config("one");
  options.workers = 1;
  train(options);
  options = config("four");
  options.workers = 4;
  train(options);
  EXPECT_EQ(final_weights(folder_ / "one"), final_weights(folder_ / "four"));
  options = config("other");
  options.seed = 1;
  train(options);
  EXPECT_NE(final_weights(folder_ / "one"), final_weights(folder_ / "other"));
}

TEST_F(RunTest, AFinishedRunStaysAsItIs) {
  train(config());
  const auto before = final_weights(folder_ / "run");
  const auto lines = untimed(folder_ / "run");
  fs::remove_all(folder_ / "run" / "model");  // as if killed between checkpoint and model
  EXPECT_EQ(train(config()).steps, 8);
  EXPECT_EQ(final_weights(folder_ / "run"), before);
  EXPECT_EQ(untimed(folder_ / "run"), lines);
}

TEST_F(RunTest, ResumesFromAnyCheckpointToTheSameEnd) {
  auto options = config();
  options.keep_checkpoints = 0;
  train(options);
  const auto weights = final_weights(folder_ / "run");
  const auto lines = untimed(folder_ / "run");
  // As if killed while a later checkpoint was being written.
  fs::resize_file(folder_ / "run" / "checkpoints" / "step-8" / "optimizer.safetensors", 100);
  fs::remove_all(folder_ / "run" / "checkpoints" / "step-6");
  fs::remove_all(folder_ / "run" / "model");
  train(options);
  EXPECT_EQ(final_weights(folder_ / "run"), weights);
  EXPECT_EQ(untimed(folder_ / "run"), lines);
  // From another run's checkpoint, by path.
  options.out = folder_ / "elsewhere";
  options.resume = (folder_ / "run" / "checkpoints" / "step-2").string();
  train(options);
  EXPECT_EQ(final_weights(folder_ / "elsewhere"), weights);
}

// Runs in a process of its own, to be killed; does nothing in an ordinary run of the tests.
TEST(KilledRunChild, Train) {
  const char* folder = std::getenv("OPENCLOC_TEST_KILLED_RUN");
  if (folder == nullptr) GTEST_SKIP() << "runs as the child of KilledRuns";
  auto options = tiny_config(fs::path(folder) / "a.tar", fs::path(folder) / "killed");
  options.steps = 24;
  train(options);
}

pid_t start_child(const fs::path& folder) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  setenv("OPENCLOC_TEST_KILLED_RUN", folder.c_str(), 1);
  // Not the parent's shard of tests.
  unsetenv("GTEST_TOTAL_SHARDS");
  execl("/proc/self/exe", "train_test", "--gtest_filter=KilledRunChild.Train", "--gtest_brief=1",
        nullptr);
  _exit(127);
}

TEST_F(RunTest, KilledRunsEndWithTheSameWeights) {
  auto options = config("straight");
  options.steps = 24;
  train(options);

  Rng rng(std::chrono::steady_clock::now().time_since_epoch().count());
  const fs::path run = folder_ / "killed";
  int kills = 0;
  for (int attempt = 0; attempt < 20; ++attempt) {
    const pid_t pid = start_child(folder_.path());
    if (kills < 3) {
      // At any moment after it has begun: setting up, in a step, while saving.
      while (!fs::exists(run / ".lock")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      std::this_thread::sleep_for(std::chrono::milliseconds(rng.below(600)));
      if (kill(pid, SIGKILL) == 0) ++kills;
    }
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
      break;
    }
  }
  EXPECT_GT(kills, 0);
  EXPECT_EQ(final_weights(run), final_weights(folder_ / "straight"));
  EXPECT_EQ(untimed(run), untimed(folder_ / "straight"));
  for (const auto& entry : fs::recursive_directory_iterator(run)) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr(".tmp"))) << "debris";
  }
}

TEST_F(RunTest, ALossThatIsNotFiniteStopsTheRun) {
  auto options = config();
  options.lr = 1e30;
  options.warmup = 0;
  options.save_every = 1;
  const auto message = error_of([&] { train(options); }, 1);
  EXPECT_THAT(message, HasSubstr("not_finite_batch.txt"));
  EXPECT_THAT(message, HasSubstr("last good checkpoint"));
  EXPECT_THAT(read_file(options.out / "not_finite_batch.txt"), HasSubstr("a.tar#squares"));
  EXPECT_TRUE(find_checkpoint(options.out, "auto")) << "the last good one is kept";
}

// As on a full disk: writes beyond a size fail. Nothing half-written stays, and with room again
// the run ends as if nothing had happened.
TEST_F(RunTest, ADiskThatFillsUpLosesNothing) {
  train(config("straight"));
  auto options = config();
  options.steps = 8;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit limited = before;
  limited.rlim_cur = 200'000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limited), 0);
  const auto message = error_of([&] { train(options); }, 1);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_THAT(message, HasSubstr("cannot write"));
  EXPECT_TRUE(list_checkpoints(options.out).empty());
  train(options);
  EXPECT_EQ(final_weights(folder_ / "run"), final_weights(folder_ / "straight"));
}

TEST_F(RunTest, ASignalStopsWithACheckpoint) {
  train(config("straight"));
  auto options = config();
  options.save_every = 100;
  std::thread signaller([&] {
    while (!fs::exists(options.out / "metrics.jsonl") ||
           fs::file_size(options.out / "metrics.jsonl") == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::raise(SIGTERM);
  });
  // Without a handler the signal would end this process; the run may have ended just before.
  std::signal(SIGTERM, SIG_IGN);
  try {
    train(options);
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("stopped by a signal"));
    EXPECT_EQ(list_checkpoints(options.out).size(), 1U);
  }
  signaller.join();
  train(options);
  EXPECT_EQ(final_weights(folder_ / "run"), final_weights(folder_ / "straight"));
}

TEST_F(RunTest, OneProcessAtATimeAndNoRunIsOverwrittenUnasked) {
  auto options = config();
  {
    const RunFolder held(options);
    EXPECT_THAT(error_of([&] { train(options); }, 2), HasSubstr("another process"));
  }
  train(options);
  options.resume = "none";
  EXPECT_THAT(error_of([&] { train(options); }, 2), HasSubstr("holds a run already"));
  options.overwrite = true;
  options.steps = 2;
  EXPECT_EQ(train(options).steps, 2);
  EXPECT_EQ(read_metrics(options.out / "metrics.jsonl").size(), 2U);
}

TEST_F(RunTest, BrokenDataIsSkippedOrAnError) {
  // A shard cut in the middle of a member: what came before is used.
  auto options = config();
  fs::copy(folder_ / "a.tar", folder_ / "cut.tar");
  fs::resize_file(folder_ / "cut.tar", fs::file_size(folder_ / "a.tar") / 2 + 100);
  options.data = (folder_ / "cut.tar").string();
  EXPECT_EQ(train(options).steps, 8);

  write_file(folder_ / "noise.tar", std::string(3000, 'n'));
  options = config("noise");
  options.data = (folder_ / "noise.tar").string();
  error_of([&] { train(options); }, 2);
  options.data = (folder_ / "missing*.tar").string();
  EXPECT_THAT(error_of([&] { train(options); }, 2), HasSubstr("no file matches"));

  Record record = fixtures::squares(1);
  record.image = "no picture";
  ShardWriter writer(folder_ / "broken.tar");
  writer.write(record);
  writer.commit();
  options.data = (folder_ / "broken.tar").string();
  EXPECT_THAT(error_of([&] { train(options); }, 2), HasSubstr("can be used"));
}

// Detection data has names of boxes and no captions.
TEST_F(RunTest, DataWithoutCaptionsTrainsRegions) {
  ShardWriter writer(folder_ / "regions.tar");
  for (uint64_t i = 0; i < 12; ++i) {
    auto record = fixtures::squares(i);
    if (i % 4 != 0) record.caption.clear();
    record.alt_text.clear();
    writer.write(record);
  }
  writer.commit();
  auto options = config();
  options.data = (folder_ / "regions.tar").string();
  options.batch_size = 12;
  EXPECT_EQ(train(options).steps, 8);
  for (const auto& line : read_metrics(options.out / "metrics.jsonl")) {
    EXPECT_EQ(line["skipped"], 0);
    EXPECT_EQ(line["captioned"], 3);
    EXPECT_GT(line["loss_clip"].get<double>(), 0);
    EXPECT_GT(line["regions"].get<int>(), 12);
  }
  options.out = folder_ / "clip";
  options.objective = find_objective("clip");
  EXPECT_EQ(train(options).steps, 8);
  for (const auto& line : read_metrics(options.out / "metrics.jsonl"))
    EXPECT_GT(line["skipped"].get<int>(), 0) << "captions are all that objective clip learns from";
}

TEST_F(RunTest, SettingsThatMakeNoSenseAreErrors) {
  const auto refused = [&](auto change) {
    auto options = config();
    change(options);
    return error_of([&] { train(options); }, 2);
  };
  EXPECT_THAT(refused([](auto& c) { c.steps = 0; }),
              HasSubstr("the run has no length, settings 'steps', 'samples'"));
  EXPECT_THAT(refused([](auto& c) { c.samples = 10; }), HasSubstr("more than one length"));
  EXPECT_THAT(refused([](auto& c) { c.accum_freq = 5; }), HasSubstr("setting 'accum_freq'"));
  EXPECT_THAT(refused([](auto& c) { c.lr = -1; }), HasSubstr("setting 'lr'"));
  EXPECT_THAT(refused([](auto& c) { c.data_weights = "1::2"; }),
              HasSubstr("setting 'data_weights'"));
  EXPECT_THAT(refused([](auto& c) { c.data_weights = "x"; }), HasSubstr("setting 'data_weights'"));
  EXPECT_THAT(refused([](auto& c) { c.model = "ViT-Nowhere"; }), HasSubstr("ViT-Nowhere"));
  EXPECT_THAT(refused([](auto& c) { c.resume = "/nowhere/step-3"; }), HasSubstr("/nowhere"));
}

TEST_F(RunTest, StartsFromAModelDirectory) {
  train(config("first"));
  auto options = config("second");
  options.init = (folder_ / "first" / "model").string();
  options.steps = 1;
  options.lr = 1e-9;
  train(options);
  const auto first = load_model(folder_ / "first" / "model");
  const auto second = load_model(folder_ / "second" / "model");
  EXPECT_TRUE(torch::allclose(first.model->clip_weights()[0].second,
                              second.model->clip_weights()[0].second, 1e-4, 1e-6));
  options.out = folder_ / "third";
  options.pool = Pool::kAll;
  EXPECT_THAT(error_of([&] { train(options); }, 2), HasSubstr("setting 'init'"));
  EXPECT_FALSE(std::filesystem::exists(options.out));  // it never began
  options.pool.reset();
  options.resize_mode = CanvasRule::kSquash;
  EXPECT_THAT(error_of([&] { train(options); }, 2), HasSubstr("'image_resize_mode'"));
}

TEST_F(RunTest, ClipAndMixedSourcesAndAccumulationTrainToo) {
  write_squares(folder_ / "b.tar.gz", 10, 500);
  auto options = config();
  options.data += "::" + (folder_ / "b.tar.gz").string();
  options.data_weights = "1::3";
  options.objective = find_objective("clip");
  options.accum_freq = 2;
  options.epochs = 1;
  options.steps = 0;
  EXPECT_EQ(train(options).steps, 8);  // 30 samples in batches of 4
  EXPECT_FALSE(load_model(options.out / "model").has_region_heads);
  EXPECT_FALSE(read_metrics(options.out / "metrics.jsonl")[0].contains("loss_region"));
}

}  // namespace
}  // namespace opencloc
