// Runs with self-distillation keep what runs promise.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/train/metrics_log.h"
#include "tests/train/small_distillation.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

class DistilledRun : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    fixtures::write_squares(folder_ / "a.tar", 40);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  TrainConfig config(const char* run) const {
    TrainConfig made = fixtures::tiny_config(folder_ / "*.tar", folder_ / run);
    made.distillation = fixtures::small_distillation();
    return made;
  }
  const std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / ("opencloc-distil-" + std::to_string(getpid()));
};

TEST_F(DistilledRun, ResumesToTheSameBytesAndLeavesNothingInTheModel) {
  // Beside CLOC, MAE and SimCLR, in pieces.
  const auto all = [&](const char* run) {
    TrainConfig made = config(run);
    made.accum_freq = 2;
    made.self_supervision.mae_weight = 0.5;
    made.self_supervision.simclr_weight = 0.5;
    made.self_supervision.decoder = {.width = 32, .layers = 1};
    made.self_supervision.simclr = {.hidden = 24, .out = 8};
    return made;
  };
  train(all("whole"));
  train(all("resumed"));
  for (const char* step : {"step-8", "step-6"})
    std::filesystem::remove_all(folder_ / "resumed/checkpoints" / step);
  train(all("resumed"));
  EXPECT_EQ(fixtures::final_weights(folder_ / "resumed"),
            fixtures::final_weights(folder_ / "whole"));
  const auto path = folder_ / "whole/checkpoints/step-8/beside.safetensors";
  EXPECT_EQ(read_file(folder_ / "resumed/checkpoints/step-8/beside.safetensors"), read_file(path));
  const SafetensorsFile kept(path);
  for (const char* name : {"hidden_patch", "head.prototypes", "teacher.visual.proj",
                           "teacher.head.prototypes", "centre", "global_centre", "updates"})
    EXPECT_NE(kept.find(std::string("distillation.") + name), nullptr) << name;

  // The model directory of a run without it has the same files and the same tensors.
  auto plain = config("plain");
  plain.distillation = {};
  train(plain);
  const auto contents = [&](const char* run) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / run / "model")) {
      names.push_back(entry.path().filename());
      if (entry.path().extension() != ".safetensors") continue;
      const SafetensorsFile file(entry.path());
      for (const auto& info : file.tensors()) names.push_back(info.name);
    }
    std::ranges::sort(names);
    return names;
  };
  EXPECT_EQ(contents("whole"), contents("plain"));

  const auto lines = read_metrics(folder_ / "whole/metrics.jsonl");
  for (const char* figure : {"loss_clip", "loss_region", "loss_mae", "loss_simclr", "loss_distill",
                             "loss_distill_global", "distill_entropy", "distill_place_entropy"})
    EXPECT_TRUE(lines.back().contains(figure)) << figure;
  EXPECT_GT(lines.back()["distill_entropy"].get<double>(), 0);
  EXPECT_LE(lines.back()["distill_entropy"].get<double>(), std::log(20.0) + 1e-6);

  // Another head than the run began with.
  auto changed = all("whole");
  changed.steps = 10;
  changed.distillation.head.prototypes = 10;
  EXPECT_THROW(train(changed), Error);
}

TEST_F(DistilledRun, LearnsWhatItsTeacherSays) {
  auto longer = config("longer");
  longer.objective = find_objective("clip");
  longer.distillation.global_weight = 0;
  longer.distillation.momentum = longer.distillation.momentum_end = 1;  // a teacher that stays
  longer.steps = longer.save_every = 60;
  train(longer);
  const auto lines = read_metrics(folder_ / "longer/metrics.jsonl");
  // What of the cross-entropy can be learned is above the teacher's own entropy.
  const auto excess = [](const Json& line) {
    return line["loss_distill"].get<double>() - line["distill_place_entropy"].get<double>();
  };
  EXPECT_LT(excess(lines.back()), 0.7 * excess(lines[0]));
}

TEST_F(DistilledRun, SaysWhatCannotWork) {
  const auto refused = [&](void (*change)(TrainConfig&)) -> std::string {
    TrainConfig wrong = config("wrong");
    change(wrong);
    try {
      train(wrong);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  using testing::HasSubstr;
  EXPECT_THAT(refused([](TrainConfig& c) { c.distillation.weight = -1; }),
              HasSubstr("'distill_weight'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.distillation.mask = 1; }),
              HasSubstr("'distill_mask'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.distillation.temperature = 0; }),
              HasSubstr("'distill_temperature'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.distillation.momentum = 1.1; }),
              HasSubstr("'distill_momentum'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.distillation.head.prototypes = 1; }),
              HasSubstr("'distill_dim'"));
  EXPECT_THAT(refused([](TrainConfig& c) {
                c.init = "somewhere";
                c.lock.image = true;
              }),
              HasSubstr("the image tower, which self-distillation trains, is frozen"));
  EXPECT_THAT(refused([](TrainConfig& c) {
                c.model = "coca-XXS-16-96";
                c.objective = find_objective("coca");
              }),
              HasSubstr("a captioner is not trained with self-distillation"));
  const auto captioner = load_model_config("coca-XXS-16-96");
  EXPECT_THROW(check_distillation(captioner, fixtures::small_distillation()), Error);
  EXPECT_NO_THROW(check_distillation(captioner, {}));
}

}  // namespace
}  // namespace opencloc
