// Captioners: the step, the run, and what they write.
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/data/scenes/scenes.h"
#include "opencloc/model/clip/preprocess.h"
#include "opencloc/model/coca/generate.h"
#include "opencloc/train/checkpoints.h"
#include "opencloc/train/lock.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/step.h"
#include "tests/model/small_coca.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::random_coca;
using fixtures::TempFolder;
using ::testing::HasSubstr;
using torch::Tensor;

Batch random_batch(int64_t images) {
  torch::manual_seed(6);
  Batch batch;
  batch.pixels = torch::randn({images, 3, 32, 32});
  batch.text_ids = fixtures::random_captions(images, 7);
  batch.text_length = batch.text_ids.ne(0).sum(1);
  batch.text_ids = torch::constant_pad_nd(batch.text_ids, {0, 1}, 0);
  return batch;
}

StepResult captioning_step(Cloc& model, const Batch& batch, const ObjectiveOptions& options = {},
                           int64_t parts = 1) {
  const auto objective = find_objective("coca")->make(model, options);
  return forward_backward(*objective, batch, {.accum_freq = parts});
}

// Loss and gradients as one writes them down: logits whole, autograd for everything.
StepResult plain(Cloc& model, const Batch& batch) {
  const auto features = model->encode_image(batch.pixels);
  const auto text = model->text->encode(batch.text_ids);
  const auto logits = model->text_decoder->logits(
      model->text_decoder->forward(text.tokens, features.captioning));  // [B, T, V]
  const auto log_likelihood = logits.slice(1, 0, -1).log_softmax(2);
  const auto labels = batch.text_ids.slice(1, 1);
  const auto words = labels.ne(0);
  const auto of_label = log_likelihood.gather(2, labels.unsqueeze(2)).squeeze(2);
  const auto caption = -(of_label * words).sum() / words.sum();
  const auto s = model->logit_scale.exp() *
                 normalized(features.embedding).matmul(normalized(text.embedding).t());
  const auto pairs = torch::arange(s.size(0));
  const auto clip =
      (torch::nll_loss(s.log_softmax(1), pairs) + torch::nll_loss(s.t().log_softmax(1), pairs)) / 2;
  const auto loss = clip + 2 * caption;
  loss.backward();
  StepResult stats;
  stats.loss = loss.item<double>();
  stats.figures.sum("loss_clip", clip);
  stats.figures.sum("loss_caption", caption);
  return stats;
}

void expect_same_step(Cloc& model, const std::function<StepResult()>& a,
                      const std::function<StepResult()>& b) {
  model->zero_grad(/*set_to_none=*/false);
  const auto expected = a();
  std::vector<Tensor> gradients;
  for (const auto& parameter : model->parameters())
    gradients.push_back(parameter.grad().defined() ? parameter.grad().clone() : Tensor());
  model->zero_grad(/*set_to_none=*/false);
  const auto got = b();
  EXPECT_NEAR(expected.loss, got.loss, 1e-5);
  EXPECT_NEAR(expected.figures.at("loss_clip"), got.figures.at("loss_clip"), 1e-5);
  EXPECT_NEAR(expected.figures.at("loss_caption"), got.figures.at("loss_caption"), 1e-5);
  size_t i = 0;
  for (const auto& item : model->named_parameters()) {
    const auto& before = gradients[i++];
    const auto& after = item.value().grad();
    if (!before.defined() && !after.defined()) continue;
    const auto zero = torch::zeros_like(item.value());
    const auto a_gradient = before.defined() ? before : zero;
    const auto b_gradient = after.defined() ? after : zero;
    const double scale = std::max(1e-4, a_gradient.abs().max().item<double>());
    EXPECT_LT((a_gradient - b_gradient).abs().max().item<double>(), 1e-3 * scale) << item.key();
  }
}

TEST(CaptioningStep, EqualsTheFormulas) {
  auto model = random_coca();
  const auto batch = random_batch(6);
  expect_same_step(
      model, [&] { return plain(model, batch); }, [&] { return captioning_step(model, batch); });
  EXPECT_TRUE(model->text_decoder->text_projection.grad().defined());
}

TEST(CaptioningStep, PartsEqualTheWholeBatch) {
  auto model = random_coca();
  const auto batch = random_batch(7);
  for (const int64_t parts : {2, 3, 7}) {
    ObjectiveOptions options;
    options.contrastive_weight = 0.5;
    expect_same_step(
        model, [&] { return captioning_step(model, batch, options); },
        [&] { return captioning_step(model, batch, options, parts); });
  }
}

TEST(CaptioningStep, WithFrozenTowersTheDecoderLearns) {
  auto model = random_coca();
  lock_towers(model, {.image = true, .text = true});
  ObjectiveOptions options;
  options.clip = false;
  for (const int64_t parts : {1, 3}) {
    const auto stats = captioning_step(model, random_batch(4), options, parts);
    EXPECT_FALSE(stats.figures.has("loss_clip"));
    EXPECT_NEAR(stats.loss, 2 * stats.figures.at("loss_caption"), 1e-6);
  }
  for (const auto& item : model->named_parameters()) {
    EXPECT_EQ(item.value().grad().defined(), item.key().starts_with("text_decoder.")) << item.key();
  }
}

class CaptioningRun : public ::testing::Test {
 protected:
  void make_scenes(uint64_t count) {
    const SceneGenerator generator({.size = 96, .seed = 5, .names = 30});
    fs::create_directories(folder_ / "scenes");
    ShardWriter writer(folder_ / "scenes" / "00000.tar");
    for (uint64_t i = 0; i < count; ++i) {
      scenes_.push_back(generator.make(i));
      writer.write(scenes_.back());
    }
    writer.commit();
  }
  TrainConfig config(const std::string& out) {
    TrainConfig config = fixtures::tiny_config(folder_ / "scenes", folder_ / out);
    config.model = "coca-XXS-16-96";
    config.objective = find_objective("coca");
    config.sample.augment = false;
    config.batch_size = 8;
    return config;
  }
  std::string error_of(const TrainConfig& config) {
    try {
      train(config);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2);
      return error.what();
    }
    return "no error";
  }
  TempFolder folder_;
  std::vector<Record> scenes_;
};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

TEST_F(CaptioningRun, LearnsAFewScenesByHeart) {
  make_scenes(8);
  auto options = config("run");
  options.steps = 200;
  options.lr = 2e-3;
  options.adamw.weight_decay = 0;
  options.save_every = 200;
  train(options);
  auto loaded = load_model(options.out / "model");
  ASSERT_TRUE(loaded.model->text_decoder);
  ASSERT_TRUE(loaded.tokenizer->start_id());
  EXPECT_EQ(loaded.about["objective"], "coca");
  GenerateOptions how;
  how.start_id = *loaded.tokenizer->start_id();
  how.end_id = loaded.tokenizer->end_id();
  how.vocab_size = loaded.tokenizer->vocab_size();
  how.max_tokens = longest_caption(loaded.model->config());
  for (const int64_t beams : {1, 3}) {
    how.beams = beams;
    for (const auto& record : scenes_) {
      const auto image = Image::decode(record.image, record.key);
      const auto pixels = preprocess(image, loaded.model->config()).pixels.unsqueeze(0);
      const torch::NoGradGuard no_grad;
      const auto text = generate(loaded.model, loaded.model->encode_image(pixels).captioning, how);
      EXPECT_EQ(loaded.tokenizer->decode(text[0].ids), lower(record.caption)) << beams;
      EXPECT_TRUE(text[0].ended);
    }
  }
}

TEST_F(CaptioningRun, ResumesExactly) {
  make_scenes(8);
  auto options = config("run");
  options.batch_size = 4;
  options.accum_freq = 2;
  train(options);
  const auto weights = [&] { return read_file(options.out / "model/open_clip_model.safetensors"); };
  const auto lines = read_metrics(options.out / "metrics.jsonl");
  EXPECT_TRUE(lines.back().contains("loss_caption"));
  EXPECT_TRUE(lines.back().contains("loss_clip"));
  const std::string whole = weights();
  fs::remove_all(options.out / "checkpoints" / "step-8");
  fs::remove_all(options.out / "model");
  EXPECT_EQ(train(options).steps, 8);  // from step 6
  EXPECT_TRUE(weights() == whole);
}

TEST_F(CaptioningRun, WhatCannotWorkIsNamed) {
  make_scenes(4);
  auto options = config("run");
  options.batch_size = 2;
  options.model = "ViT-Test";
  EXPECT_THAT(error_of(options), HasSubstr("no text decoder"));
  options = config("run2");
  options.objective = find_objective("clip");
  EXPECT_THAT(error_of(options), HasSubstr("is a captioner"));
  options = config("run3");
  options.objective_options.caption_weight = -1;
  EXPECT_THAT(error_of(options), HasSubstr("setting 'coca_caption_loss_weight'"));
  // A tokenizer without a start token.
  options = fixtures::tiny_config(folder_ / "scenes", folder_ / "clip");
  options.batch_size = 2;
  options.steps = 1;
  train(options);
  options = config("run4");
  options.tokenizer = (folder_ / "clip" / "model").string();
  EXPECT_THAT(error_of(options), HasSubstr("no start token"));
}

}  // namespace
}  // namespace opencloc
