// Self-supervision in training: the masked pass against He et al.'s code written out, pieces and
// processes against one whole batch, and runs that keep what runs promise.
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/model/layers/positional_encoding.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/step.h"
#include "tests/dist/thread_group.h"
#include "tests/train/plain_blocks.h"
#include "tests/train/random_batch.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::Plain;
using ::testing::HasSubstr;

SelfSupervisionOptions all_losses() {
  SelfSupervisionOptions options;
  options.mae_weight = 0.5;
  options.mlm_weight = 0.3;
  options.simclr_weight = 0.7;
  options.decoder = {.width = 32, .layers = 1};
  options.simclr = {.hidden = 24, .out = 8};
  return options;
}

Batch masked_batch(int64_t images = 7) {
  Batch batch = fixtures::random_batch(images, {0, 0, 1, 3, 3, 3, 6});
  const int64_t patches = load_model_config("ViT-Test").vision.patches();
  batch.patch_order = torch::rand({images, patches});
  batch.word_order = torch::rand({images, fixtures::kContext});
  batch.first_view = torch::randn_like(batch.pixels);
  batch.second_view = torch::randn_like(batch.pixels);
  return batch;
}

struct Parts {
  Cloc model{nullptr};
  SelfSupervisionHeads heads{nullptr};
};

Parts make_parts(const SelfSupervisionOptions& options) {
  torch::manual_seed(5);
  Parts parts;
  parts.model = Cloc(load_model_config("ViT-Test"));
  parts.heads = SelfSupervisionHeads(options, parts.model->config());
  return parts;
}

using Gradients = std::map<std::string, torch::Tensor>;

struct MaskedStep {
  StepResult result;
  Gradients gradients;
};

MaskedStep step_of(Parts parts, const SelfSupervisionOptions& options, const Batch& batch,
                   const char* name, const StepOptions& how = {}) {
  auto objective = with_self_supervision(find_objective(name)->make(parts.model, {}), parts.model,
                                         parts.heads, options);
  MaskedStep stepped{forward_backward(*objective, batch, how), {}};
  for (const auto& weights : {parts.model->named_parameters(), parts.heads->named_parameters()}) {
    for (const auto& item : weights) {
      const auto& gradient = item.value().grad();
      if (gradient.defined()) stepped.gradients[item.key()] = gradient.clone();
    }
  }
  return stepped;
}

void expect_same(const MaskedStep& got, const MaskedStep& wanted) {
  EXPECT_NEAR(got.result.loss, wanted.result.loss, 2e-5);
  for (const char* figure : {"loss_mae", "loss_mlm", "loss_simclr"})
    EXPECT_NEAR(got.result.figures.at(figure), wanted.result.figures.at(figure), 2e-5) << figure;
  ASSERT_EQ(got.gradients.size(), wanted.gradients.size());
  for (const auto& [name, gradient] : wanted.gradients) {
    // Some are 0 but for rounding: a bias before a batch norm.
    const double scale = std::max(2e-2, gradient.abs().max().item<double>());
    EXPECT_LE((got.gradients.at(name) - gradient).abs().max().item<double>(), 1e-4 * scale) << name;
  }
}

// MAE's random_masking and unshuffling with libtorch's plain operations.
torch::Tensor plain_mae_loss(const Parts& parts, const Batch& batch, double share) {
  const ModelConfig& config = parts.model->config();
  const int64_t patch = config.vision.patch_size, grid = config.vision.grid(), n = grid * grid;
  const int64_t images = batch.images(), width = config.vision.width;
  const Plain model(*parts.model->visual), decoder(*parts.heads->masked_decoder);
  const auto target = batch.pixels.view({images, 3, grid, patch, grid, patch})
                          .permute({0, 2, 4, 1, 3, 5})
                          .reshape({images, n, -1});
  // forward_encoder: embed, add places without the class token's, mask, put the class token first.
  auto x = torch::matmul(target, model.at("conv1.weight").flatten(1).t()) +
           model.at("positional_embedding").slice(0, 1);
  const auto shuffle = batch.patch_order.argsort(1, /*descending=*/false),
             restore = shuffle.argsort(1, /*descending=*/false);
  const auto kept = static_cast<int64_t>(std::llround((1 - share) * static_cast<double>(n)));
  x = x.gather(1, shuffle.slice(1, 0, kept).unsqueeze(2).expand({-1, -1, width}));
  const auto mask = torch::ones({images, n});
  mask.slice(1, 0, kept).zero_();
  const auto hidden = mask.gather(1, restore);
  const auto cls = (model.at("class_embedding") + model.at("positional_embedding")[0])
                       .expand({images, 1, width});
  x = model.norm(torch::cat({cls, x}, 1), "ln_pre");
  for (int64_t i = 0; i < config.vision.layers; ++i)
    x = model.block(x, "transformer.resblocks." + std::to_string(i), config.vision.heads());
  // forward_decoder: project, append mask tokens, unshuffle, add places.
  auto y = decoder.linear(decoder.norm(x.slice(1, 1), "image.norm"), "image.proj");
  y = torch::cat({y, decoder.at("image.mask").expand({images, n - kept, y.size(2)})}, 1);
  y = y.gather(1, restore.unsqueeze(2).expand({-1, -1, y.size(2)})) +
      patch_centre_encoding(grid, y.size(2), grid);
  y = decoder.block(y, "transformer.resblocks.0", 1);
  y = decoder.linear(decoder.norm(y, "ln"), "pixels");
  // forward_loss
  const auto mean = target.mean(-1, true), var = target.var(-1, true, true);
  const auto error = (y - (target - mean) / (var + 1e-6).sqrt()).pow(2).mean(-1);
  return (error * hidden).sum() / hidden.sum();
}

TEST(SelfSupervision, TheMaskedPassIsMaes) {
  SelfSupervisionOptions options = all_losses();
  options.mlm_weight = options.simclr_weight = 0;
  options.mae_weight = 1;
  const Batch batch = masked_batch();
  const Parts parts = make_parts(options);
  MaskedStep both = step_of(parts, options, batch, "clip");
  const Parts plain = make_parts(options);
  const auto loss = plain_mae_loss(plain, batch, options.mae_mask);
  EXPECT_NEAR(both.result.figures.at("loss_mae"), loss.item<double>(), 1e-5);
  loss.backward();
  for (const auto& item : plain.heads->named_parameters()) {
    const auto wanted = item.value().grad();
    const auto got = both.gradients.at(item.key());
    EXPECT_LE((got - wanted).abs().max().item<double>(),
              1e-5 * std::max(1.0, wanted.abs().max().item<double>()))
        << item.key();
  }
  // The gradients of CLIP and of MAE add up, in the tower that both train.
  const Parts clip = make_parts(options);
  forward_backward(*find_objective("clip")->make(clip.model, {}), batch);
  for (const char* name : {"conv1.weight", "positional_embedding", "ln_pre.weight"}) {
    const auto sum = clip.model->visual->named_parameters()[name].grad() +
                     plain.model->visual->named_parameters()[name].grad();
    EXPECT_LE((both.gradients.at(std::string("visual.") + name) - sum).abs().max().item<double>(),
              1e-5 * std::max(1.0, sum.abs().max().item<double>()))
        << name;
  }
}

TEST(SelfSupervision, PiecesAreTheWholeBatch) {
  for (const char* name : {"clip", "cloc"}) {
    for (const WordContext sees : {WordContext::kImage, WordContext::kText}) {
      SelfSupervisionOptions options = all_losses();
      options.mlm_sees = sees;
      const Batch batch = masked_batch();
      const MaskedStep whole = step_of(make_parts(options), options, batch, name);
      EXPECT_GT(whole.gradients.at("masked_decoder.words.places").abs().sum().item<double>(), 0);
      for (const int64_t parts : {3, 7})
        expect_same(step_of(make_parts(options), options, batch, name, {.accum_freq = parts}),
                    whole);
    }
  }
}

// Words are restored from the picture, or only from the other words.
TEST(SelfSupervision, WordsSeeThePictureWhereTheyShould) {
  for (const WordContext sees : {WordContext::kImage, WordContext::kText}) {
    SelfSupervisionOptions options = all_losses();
    options.mlm_sees = sees;
    Batch batch = masked_batch();
    const double before =
        step_of(make_parts(options), options, batch, "clip").result.figures.at("loss_mlm");
    batch.pixels = batch.pixels + 1;
    const double after =
        step_of(make_parts(options), options, batch, "clip").result.figures.at("loss_mlm");
    EXPECT_EQ(before != after, sees == WordContext::kImage);
  }
}

// Hidden patches must not leak into what is restored.
TEST(SelfSupervision, WhatIsHiddenIsNotRead) {
  SelfSupervisionOptions options = all_losses();
  options.mae_normalize = false;
  Batch batch = masked_batch(1);
  const auto restored = [&](const Batch& from) {
    return reconstruct(make_parts(options).model, make_parts(options).heads, options, from)
        .restored;
  };
  const auto before = restored(batch);
  Batch changed = batch;
  const Masks patches = mask_patches(batch.patch_order, options.mae_mask);
  const int64_t patch = load_model_config("ViT-Test").vision.patch_size, grid = 32 / patch;
  const auto hidden = patches.hidden.view({1, 1, grid, grid})
                          .repeat_interleave(patch, 2)
                          .repeat_interleave(patch, 3);  // [1, 1, H, W]
  changed.pixels = torch::where(hidden, batch.pixels + 3, batch.pixels);
  EXPECT_TRUE(torch::equal(restored(changed), before));
  changed.pixels = torch::where(hidden, batch.pixels, batch.pixels + 3);
  EXPECT_FALSE(torch::equal(restored(changed), before));
}

Batch masked_share(const Batch& batch, int64_t begin, int64_t end) {
  Batch share = batch;
  for (torch::Tensor* tensor :
       {&share.pixels, &share.text_ids, &share.text_length, &share.patch_order, &share.word_order,
        &share.first_view, &share.second_view})
    *tensor = tensor->slice(0, begin, end).clone();
  return share;
}

TEST(SelfSupervision, ProcessesAreOneBatch) {
  const SelfSupervisionOptions options = all_losses();
  const Batch batch = masked_batch();
  const MaskedStep whole = step_of(make_parts(options), options, batch, "clip");
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{4, 3}, {2, 0, 5}}) {
    std::vector<MaskedStep> steps(sizes.size());
    std::mutex models;  // weights are drawn from one generator
    fixtures::run_ranks(static_cast<int>(sizes.size()), [&](dist::Group& group) {
      const auto rank = static_cast<size_t>(group.rank());
      int64_t begin = 0;
      for (size_t r = 0; r < rank; ++r) begin += sizes[r];
      Parts parts;
      {
        const std::lock_guard lock(models);
        parts = make_parts(options);
      }
      steps[rank] = step_of(parts, options, masked_share(batch, begin, begin + sizes[rank]), "clip",
                            {.group = &group});
    });
    MaskedStep sum = steps[0];
    for (size_t r = 1; r < steps.size(); ++r) {
      for (const auto& [name, gradient] : steps[r].gradients) {
        auto& total = sum.gradients[name];
        total = total.defined() ? total + gradient : gradient;
      }
    }
    expect_same(sum, whole);
  }
}

class SelfSupervisedRun : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    fixtures::write_squares(folder_ / "a.tar", 40);
  }
  void TearDown() override { fs::remove_all(folder_); }
  TrainConfig config(const char* run) const {
    TrainConfig made = fixtures::tiny_config(folder_ / "*.tar", folder_ / run);
    made.self_supervision = all_losses();
    return made;
  }
  const fs::path folder_ =
      fs::path(testing::TempDir()) / ("opencloc-ssl-" + std::to_string(getpid()));
};

TEST_F(SelfSupervisedRun, ResumesToTheSameBytesAndLeavesNothingInTheModel) {
  train(config("whole"));
  // Stopped after step 4, as if killed there.
  auto first = config("resumed");
  train(first);
  for (const char* step : {"step-8", "step-6"})
    fs::remove_all(folder_ / "resumed/checkpoints" / step);
  train(config("resumed"));
  EXPECT_EQ(fixtures::final_weights(folder_ / "resumed"),
            fixtures::final_weights(folder_ / "whole"));
  EXPECT_EQ(read_file(folder_ / "resumed/checkpoints/step-8/beside.safetensors"),
            read_file(folder_ / "whole/checkpoints/step-8/beside.safetensors"));
  EXPECT_FALSE(fs::exists(folder_ / "whole/model/beside.safetensors"));
  const auto lines = read_metrics(folder_ / "whole/metrics.jsonl");
  for (const char* figure : {"loss_clip", "loss_region", "loss_mae", "loss_mlm", "loss_simclr"})
    EXPECT_TRUE(lines.back().contains(figure)) << figure;

  // Another loss than the run began with.
  auto changed = config("whole");
  changed.steps = 10;
  changed.self_supervision.decoder.width = 64;
  EXPECT_THROW(train(changed), Error);
}

TEST_F(SelfSupervisedRun, LearnsToRestore) {
  auto longer = config("longer");
  longer.self_supervision.mae_normalize = false;
  longer.steps = 60;
  longer.save_every = 60;
  longer.report_pictures = 2;
  train(longer);
  const auto lines = read_metrics(folder_ / "longer/metrics.jsonl");
  EXPECT_LT(lines.back()["loss_mae"].get<double>(), 0.7 * lines[0]["loss_mae"].get<double>());
  EXPECT_LT(lines.back()["loss_mlm"].get<double>(), 0.9 * lines[0]["loss_mlm"].get<double>());
  EXPECT_THAT(read_file(folder_ / "longer/report.html"), HasSubstr("what is restored"));
}

TEST_F(SelfSupervisedRun, PatchDropoutTrainsClipOnFewerPatches) {
  auto clip = config("flip");
  clip.self_supervision = {};
  clip.objective = find_objective("clip");
  clip.objective_options.patch_dropout = 0.5;
  const TrainResult dropped = train(clip);
  auto whole = config("all");
  whole.self_supervision = {};
  whole.objective = find_objective("clip");
  EXPECT_NE(train(whole).loss, dropped.loss);
}

TEST_F(SelfSupervisedRun, SaysWhatCannotWork) {
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
  EXPECT_THAT(refused([](TrainConfig& c) { c.self_supervision.mae_mask = 1; }),
              HasSubstr("setting 'mae_mask'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.self_supervision.mlm_mask = 0; }),
              HasSubstr("setting 'mlm_mask'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.self_supervision.simclr_weight = -1; }),
              HasSubstr("setting 'simclr_weight'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.self_supervision.decoder.width = 33; }),
              HasSubstr("setting 'mae_decoder'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.objective_options.patch_dropout = 0.5; }),
              HasSubstr("setting 'patch_dropout'"));
  EXPECT_THAT(refused([](TrainConfig& c) {
                c.model = "coca-XXS-16-96";
                c.objective = find_objective("coca");
              }),
              HasSubstr("a captioner is not trained with self-supervision"));
}

}  // namespace
}  // namespace opencloc
