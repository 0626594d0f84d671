// What L_CLOC may have beside it: weights of regions, hard negatives, supervised attention,
// contrast of texts. In pieces and in several processes they are the same step; runs resume
// exactly.
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/step.h"
#include "tests/dist/thread_group.h"
#include "tests/train/random_batch.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

Cloc extras_model() {
  ModelConfig config = load_model_config("ViT-Test");
  config.cloc.hard_negatives = true;
  torch::manual_seed(5);
  return Cloc(config);
}

// Regions 1, 3 and 6 have wrong texts.
Batch extras_batch() {
  Batch batch = fixtures::random_batch(7, {0, 0, 1, 3, 3, 3, 6});
  fixtures::random_texts(5, batch.negative_ids, batch.negative_length);
  batch.negative_region = torch::tensor({1, 1, 3, 6, 6}, torch::kInt64);
  batch.region_weight = torch::rand({7}) + 0.1;
  batch.names_one_box = torch::tensor({true, true, false, true, true, true, true});
  return batch;
}

ObjectiveOptions extras_options() {
  ObjectiveOptions options;
  options.hard_negative_weight = 0.4;
  options.attention_weight = 0.3;
  options.text_contrast_weight = 0.2;
  options.text_contrast_threshold = 1;
  return options;
}

struct ExtrasStep {
  StepResult result;
  std::map<std::string, torch::Tensor> gradients;
};

ExtrasStep extras_step(Cloc model, const Batch& batch, const ObjectiveOptions& options,
                       const StepOptions& how = {}) {
  model->zero_grad(/*set_to_none=*/true);
  const auto objective = find_objective("cloc")->make(model, options);
  ExtrasStep step{forward_backward(*objective, batch, how), {}};
  for (const auto& item : model->named_parameters())
    if (item.value().grad().defined()) step.gradients[item.key()] = item.value().grad().clone();
  return step;
}

void expect_near_gradients(const std::map<std::string, torch::Tensor>& got, const ExtrasStep& want,
                           const std::string& what) {
  for (const auto& [name, gradient] : want.gradients) {
    const double scale = std::max(1e-5, gradient.abs().max().item<double>());
    ASSERT_EQ(got.count(name), 1u) << what << ' ' << name;
    EXPECT_LT((got.at(name) - gradient).abs().max().item<double>(), 5e-4 * scale)
        << what << ' ' << name;
  }
}

TEST(RegionExtras, TheLossIsTheSumOfItsParts) {
  Cloc model = extras_model();
  const auto options = extras_options();
  const auto step = extras_step(model, extras_batch(), options);
  const auto& f = step.result.figures;
  const double parts = f.at("loss_region") +
                       options.text_contrast_weight * f.at("loss_text_contrast") +
                       options.hard_negative_weight * f.at("loss_hard_negatives") +
                       options.attention_weight * f.at("loss_attention") +
                       options.grounding_weight * (f.at("loss_grounding") + f.at("loss_recovery"));
  EXPECT_NEAR(step.result.loss, f.at("loss_clip") + f.at("lambda") * parts, 1e-5);
  EXPECT_GT(f.at("loss_hard_negatives"), 0);
  EXPECT_GT(f.at("loss_attention"), 0);
  EXPECT_NEAR(f.at("attention_inside"), std::exp(-f.at("loss_attention")), 0.1);
  EXPECT_GT(step.gradients.at("hard_negative_logit_scale").abs().item<float>(), 0);
}

TEST(RegionExtras, InPiecesAndInProcessesTheyAreTheSameStep) {
  const Batch batch = extras_batch();
  const auto options = extras_options();
  const auto whole = extras_step(extras_model(), batch, options);
  for (const int64_t parts : {2, 7}) {
    const auto pieces = extras_step(extras_model(), batch, options, {.accum_freq = parts});
    EXPECT_NEAR(pieces.result.loss, whole.result.loss, 1e-5);
    expect_near_gradients(pieces.gradients, whole, "pieces");
  }
  Batch shares[2] = {batch, batch};  // images 0 to 2 with 3 regions, and 3 to 6 with 4
  for (int64_t i = 0; i < 2; ++i) {
    Batch& share = shares[i];
    const int64_t begin = i == 0 ? 0 : 3, end = i == 0 ? 3 : 7;  // images, and regions alike
    for (auto* t :
         {&share.pixels, &share.text_ids, &share.text_length, &share.boxes, &share.region_ids,
          &share.region_length, &share.region_text_id, &share.region_weight, &share.names_one_box})
      *t = t->slice(0, begin, end).clone();
    share.region_image = batch.region_image.slice(0, begin, end) - begin;
    const int64_t first = i == 0 ? 0 : 2, last = i == 0 ? 2 : 5;  // negatives
    for (auto* t : {&share.negative_ids, &share.negative_length})
      *t = t->slice(0, first, last).clone();
    share.negative_region = batch.negative_region.slice(0, first, last) - begin;
    share.images_with_regions = 2;
  }
  std::vector<ExtrasStep> steps(2);
  std::mutex models;
  fixtures::run_ranks(2, [&](dist::Group& group) {
    const auto rank = static_cast<size_t>(group.rank());
    Cloc model{nullptr};
    {
      const std::lock_guard lock(models);
      model = extras_model();
    }
    steps[rank] = extras_step(model, shares[rank], options, {.group = &group});
  });
  std::map<std::string, torch::Tensor> sum;
  for (const auto& [name, gradient] : whole.gradients) {
    sum[name] = torch::zeros_like(gradient);
    for (auto& step : steps)
      if (step.gradients.count(name) > 0) sum[name] += step.gradients[name];
  }
  EXPECT_NEAR(steps[0].result.loss, whole.result.loss, 2e-5);
  expect_near_gradients(sum, whole, "processes");
}

// Equal weights are none; a text that is not asked about changes nothing.
TEST(RegionExtras, WithoutTheirWeightsNothingChanges) {
  auto batch = extras_batch();
  const auto with_negatives = extras_step(extras_model(), batch, {});
  batch.negative_ids = batch.negative_length = batch.negative_region = torch::Tensor();
  const auto without = extras_step(extras_model(), batch, {});
  EXPECT_EQ(with_negatives.result.loss, without.result.loss);
  batch.region_weight = torch::full({7}, 0.3);
  const auto equal = extras_step(extras_model(), batch, {});
  batch.region_weight = torch::Tensor();
  const auto none = extras_step(extras_model(), batch, {});
  EXPECT_NEAR(equal.result.loss, none.result.loss, 1e-5);
  expect_near_gradients(equal.gradients, none, "equal weights");
}

class RegionExtrasRun : public ::testing::Test {
 protected:
  TrainConfig config(const std::string& out) {
    if (!fs::exists(folder_ / "a.tar")) {
      ShardWriter writer(folder_ / "a.tar");
      for (uint64_t i = 0; i < 20; ++i) {
        Record record = fixtures::squares(i);
        for (auto& region : record.regions) {
          region.score = 0.2f + 0.03f * static_cast<float>(i);
          region.extra["negatives"] = {"a black square", "a red circle", region.text};
        }
        writer.write(record);
      }
      writer.commit();
    }
    TrainConfig config = fixtures::tiny_config(folder_ / "a.tar", folder_ / out);
    config.objective_options = extras_options();
    config.sample.hard_negatives = 2;
    config.sample.region_score = RegionScore::kWeight;
    config.box_encoding = BoxEncoding::kIntegrated;
    config.several_layers = true;
    config.region_logit_scale = 30;
    return config;
  }
  fixtures::TempFolder folder_;
};

TEST_F(RegionExtrasRun, ResumesToTheSameEnd) {
  auto options = config("run");
  options.keep_checkpoints = 0;
  train(options);
  const auto weights = fixtures::final_weights(folder_ / "run");
  for (const Json& line : read_metrics(folder_ / "run/metrics.jsonl")) {
    for (const char* key : {"loss_text_contrast", "loss_hard_negatives", "hard_negatives_right",
                            "loss_attention", "attention_inside", "hard_negative_logit_scale"})
      EXPECT_TRUE(line.contains(key)) << key;
    EXPECT_NEAR(line.at("region_logit_scale").get<double>(), 30, 2);
  }
  for (const int step : {4, 6, 8})
    fs::remove_all(folder_ / "run/checkpoints" / ("step-" + std::to_string(step)));
  fs::remove_all(folder_ / "run/model");
  train(options);
  EXPECT_EQ(fixtures::final_weights(folder_ / "run"), weights);
  options = config("workers");
  options.workers = 1;
  train(options);
  EXPECT_EQ(fixtures::final_weights(folder_ / "workers"), weights);

  Cloc model = load_model(folder_ / "run/model").model;
  EXPECT_EQ(model->config().cloc.box_encoding, BoxEncoding::kIntegrated);
  EXPECT_TRUE(model->config().cloc.several_layers);
  EXPECT_TRUE(model->hard_negative_logit_scale.defined());
}

TEST_F(RegionExtrasRun, AModelThatIsThereGetsATemperatureForHardNegatives) {
  auto options = config("first");
  options.objective_options = {};
  train(options);
  const std::string first = (folder_ / "first/model").string();
  auto again = config("first");
  again.steps = 9;
  try {
    train(again);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("began without hard negatives"));
  }
  options = config("second");
  options.init = first;
  options.box_encoding.reset();
  options.several_layers.reset();
  options.region_logit_scale.reset();
  options.steps = 1;
  options.lr = 1e-9;
  train(options);
  const auto before = load_model(first).model->named_parameters();
  const auto after = load_model(folder_ / "second/model").model->named_parameters();
  ASSERT_EQ(after.size(), before.size() + 1);
  for (const auto& item : before)
    EXPECT_LT((item.value() - after[item.key()]).abs().max().item<float>(), 1e-6f) << item.key();
}

TEST_F(RegionExtrasRun, MeaninglessOptionsAreErrors) {
  const auto error_of = [&](const std::function<void(TrainConfig&)>& change) {
    auto options = config("wrong");
    change(options);
    return fixtures::error_of_run(options);
  };
  EXPECT_THAT(error_of([](auto& c) { c.sample.hard_negatives = 0; }), HasSubstr("hard negative"));
  EXPECT_THAT(error_of([](auto& c) { c.objective_options.grounding = false; }),
              HasSubstr("attention"));
  EXPECT_THAT(error_of([](auto& c) { c.pool = Pool::kAll; }), HasSubstr("pool prompt"));
  EXPECT_THAT(error_of([](auto& c) { c.joint_box_token = false; }), HasSubstr("joint_box_token"));
}

}  // namespace
}  // namespace opencloc
