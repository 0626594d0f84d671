// M3AE: the pass against Geng et al.'s description written out a picture at a time, pieces and
// processes against one whole batch, and runs that leave a plain CLIP with a trained image tower.
#include "opencloc/objective/m3ae.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/model_directory.h"
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

SelfSupervisionOptions m3ae_options() {
  SelfSupervisionOptions options;
  options.joint = true;
  options.mae_weight = kM3aeImageWeight;
  options.mlm_weight = kM3aeTextWeight;
  options.mae_normalize = false;
  options.decoder = {.width = 32, .layers = 1};
  return options;
}

// Lengths from 3 to 16; the third picture has no text, and a part of the second is padding.
Batch m3ae_batch() {
  Batch batch = fixtures::random_batch(7, {});
  batch.has_text = torch::tensor({true, true, false, true, true, true, true});
  batch.patch_order = torch::rand({7, load_model_config("ViT-Test").vision.patches()});
  batch.patch_order[1].slice(0, 8) = 2;
  batch.word_order = torch::rand({7, fixtures::kContext});
  return batch;
}

struct JointParts {
  Cloc model{nullptr};
  SelfSupervisionHeads heads{nullptr};
};

JointParts m3ae_parts(
    const SelfSupervisionOptions& options, void (*change)(ModelConfig&) = [](ModelConfig&) {}) {
  torch::manual_seed(5);
  ModelConfig config = load_model_config("ViT-Test");
  change(config);
  JointParts parts;
  parts.model = Cloc(config);
  parts.heads = SelfSupervisionHeads(options, config);
  const torch::NoGradGuard no_grad;
  for (auto& item : parts.heads->named_parameters()) {  // some begin as zeros
    if (item.value().dim() == 1) item.value().add_(0.1 * torch::randn_like(item.value()));
  }
  return parts;
}

struct JointStep {
  StepResult result;
  std::map<std::string, torch::Tensor> gradients;
};

JointStep joint_step(JointParts parts, const SelfSupervisionOptions& options, const Batch& batch,
                     const StepOptions& how = {}) {
  ObjectiveOptions objective_options;
  objective_options.heads = parts.heads.ptr();
  objective_options.self_supervision = std::make_shared<SelfSupervisionOptions>(options);
  const auto objective = find_objective("m3ae")->make(parts.model, objective_options);
  JointStep stepped{forward_backward(*objective, batch, how), {}};
  for (const auto& weights : {parts.model->named_parameters(), parts.heads->named_parameters()}) {
    for (const auto& item : weights) {
      const auto& gradient = item.value().grad();
      if (gradient.defined()) stepped.gradients[item.key()] = gradient.clone();
    }
  }
  return stepped;
}

void expect_same_step(const JointStep& got, const JointStep& wanted) {
  EXPECT_NEAR(got.result.loss, wanted.result.loss, 2e-5);
  for (const char* figure : {"loss_mae", "loss_mlm", "captioned"})
    EXPECT_NEAR(got.result.figures.at(figure), wanted.result.figures.at(figure), 2e-5) << figure;
  ASSERT_EQ(got.gradients.size(), wanted.gradients.size());
  for (const auto& [name, gradient] : wanted.gradients) {
    const double scale = std::max(1e-2, gradient.abs().max().item<double>());
    EXPECT_LE((got.gradients.at(name) - gradient).abs().max().item<double>(), 1e-4 * scale) << name;
  }
}

// The `count` places of lowest order, ascending.
torch::Tensor lowest(const torch::Tensor& order, int64_t count) {
  return std::get<0>(order.argsort(0, /*descending=*/false).slice(0, 0, count).sort(0));
}

// L of one picture after another: {image, text}.
std::pair<torch::Tensor, torch::Tensor> plain_m3ae(const JointParts& parts, const Batch& batch) {
  const ModelConfig& config = parts.model->config();
  const int64_t patch = config.vision.patch_size, grid = config.vision.grid(), n = grid * grid;
  const Plain tower(*parts.model->visual), joint(*parts.heads->joint_encoder),
      decoder(*parts.heads->masked_decoder);
  torch::Tensor image_sum = torch::zeros({}), text_sum = torch::zeros({});
  int64_t texts = 0;
  for (int64_t i = 0; i < batch.images(); ++i) {
    const auto target = batch.pixels[i]
                            .view({3, grid, patch, grid, patch})
                            .permute({1, 3, 0, 2, 4})
                            .reshape({n, -1});  // [N, 3 P P]
    const auto seen = lowest(batch.patch_order[i], n / 4);
    auto masked = batch.patch_order[i] < 1;
    masked.index_fill_(0, seen, false);
    const auto patches = torch::matmul(target, tower.at("conv1.weight").flatten(1).t()) +
                         tower.at("positional_embedding").slice(0, 1);
    std::vector<torch::Tensor> encoder_in = {
        (tower.at("class_embedding") + tower.at("positional_embedding")[0]).unsqueeze(0),
        patches.index_select(0, seen)};
    const bool has_text = batch.has_text[i].item<bool>();
    const int64_t words = has_text ? batch.text_length[i].item<int64_t>() - 1 : 0;
    const auto hidden_count = static_cast<int64_t>(std::llround(0.75 * static_cast<double>(words)));
    auto seen_words = torch::zeros({0}, torch::kInt64);
    if (has_text) {
      seen_words = torch::cat({lowest(batch.word_order[i].slice(0, 0, words), words - hidden_count),
                               torch::tensor({words}, torch::kInt64)});
      encoder_in.push_back(joint.at("word_embedding")
                               .index_select(0, batch.text_ids[i].index_select(0, seen_words)) +
                           joint.at("word_positional_embedding").index_select(0, seen_words) +
                           joint.at("word_type_embedding"));
    }
    auto x = tower.norm(torch::cat(encoder_in), "ln_pre").unsqueeze(0);
    for (int64_t b = 0; b < config.vision.layers; ++b)
      x = tower.block(x, "transformer.resblocks." + std::to_string(b), config.vision.heads());
    x = decoder.linear(tower.norm(x, "ln_post"), "image.proj")[0];  // [1 + K + k, Dd]

    const int64_t width = x.size(1), first_word = 1 + seen.size(0);
    const auto y_image =
        decoder.at("image.mask").expand({n, width}).index_copy(0, seen, x.slice(0, 1, first_word)) +
        patch_centre_encoding(grid, width, grid);
    auto y_words = decoder.at("words.mask")
                       .expand({fixtures::kContext, width})
                       .index_copy(0, seen_words, x.slice(0, first_word));
    const int64_t length = has_text ? words + 1 : 0;
    y_words =
        torch::cat({y_words.slice(0, 0, length),
                    decoder.at("words.padding").expand({fixtures::kContext - length, width})}) +
        decoder.at("words.places");
    auto y = torch::cat({x.slice(0, 0, 1), y_image, y_words}).unsqueeze(0);
    y = decoder.norm(decoder.block(y, "transformer.resblocks.0", 1), "ln")[0];

    const auto error =
        (decoder.linear(y.slice(0, 1, 1 + n), "pixels") - target).pow(2).mean(1);  // [N]
    image_sum = image_sum + (error * masked).sum() / masked.sum();
    if (!has_text) continue;
    ++texts;
    const auto logits = torch::matmul(y.slice(0, 1 + n), decoder.at("word_projection"));
    const auto of_truth =
        logits.log_softmax(1).gather(1, batch.text_ids[i].unsqueeze(1)).squeeze(1);  // [T]
    auto hidden_words = torch::zeros({fixtures::kContext});
    hidden_words.slice(0, 0, words) = 1;
    hidden_words.index_fill_(0, seen_words, 0);
    text_sum = text_sum - (of_truth * hidden_words).sum() / hidden_words.sum();
  }
  return {image_sum / batch.images(), text_sum / texts};
}

TEST(M3ae, ThePassIsThePapers) {
  const SelfSupervisionOptions options = m3ae_options();
  const Batch batch = m3ae_batch();
  const JointStep got = joint_step(m3ae_parts(options), options, batch);
  const JointParts plain = m3ae_parts(options);
  const auto [image, text] = plain_m3ae(plain, batch);
  EXPECT_NEAR(got.result.figures.at("loss_mae"), image.item<double>(), 1e-5);
  EXPECT_NEAR(got.result.figures.at("loss_mlm"), text.item<double>(), 1e-5);
  EXPECT_EQ(got.result.figures.at("captioned"), 6);
  const auto loss = kM3aeImageWeight * image + kM3aeTextWeight * text;
  EXPECT_NEAR(got.result.loss, loss.item<double>(), 1e-5);
  loss.backward();
  size_t compared = 0;
  for (const auto& weights : {plain.model->named_parameters(), plain.heads->named_parameters()}) {
    for (const auto& item : weights) {
      const auto wanted = item.value().grad();
      if (!wanted.defined()) {  // the text tower's, the projection, the temperature
        EXPECT_EQ(got.gradients.count(item.key()), 0U) << item.key();
        continue;
      }
      ++compared;
      ASSERT_EQ(got.gradients.count(item.key()), 1U) << item.key();
      EXPECT_LE((got.gradients.at(item.key()) - wanted).abs().max().item<double>(),
                1e-5 * std::max(1.0, wanted.abs().max().item<double>()))
          << item.key();
    }
  }
  EXPECT_GT(compared, 40U);
  EXPECT_EQ(got.gradients.count("visual.proj"), 0U);
  EXPECT_GT(got.gradients.at("visual.ln_post.weight").abs().sum().item<double>(), 0);
}

TEST(M3ae, PiecesAreTheWholeBatch) {
  const Batch batch = m3ae_batch();
  for (const double text : {0.5, 0.0}) {
    SelfSupervisionOptions options = m3ae_options();
    options.mlm_weight = text;
    options.mae_normalize = text == 0;
    const JointStep whole = joint_step(m3ae_parts(options), options, batch);
    for (const int64_t parts : {3, 7})
      expect_same_step(joint_step(m3ae_parts(options), options, batch, {.accum_freq = parts}),
                       whole);
  }
}

TEST(M3ae, TowersWithoutAClassTokenLearn) {
  const SelfSupervisionOptions options = m3ae_options();
  const auto mean = [](ModelConfig& config) {
    config.vision.class_token = false;
    config.vision.pool = ImagePool::kAverage;
  };
  const Batch batch = m3ae_batch();
  const JointStep whole = joint_step(m3ae_parts(options, mean), options, batch);
  EXPECT_GT(whole.gradients.at("visual.conv1.weight").abs().sum().item<double>(), 0);
  expect_same_step(joint_step(m3ae_parts(options, mean), options, batch, {.accum_freq = 4}), whole);

  ModelConfig attention = load_model_config("ViT-Test");
  attention.vision.pool = ImagePool::kAttention;
  EXPECT_THROW(check_self_supervision(attention, options), Error);
}

TEST(M3ae, ProcessesAreOneBatch) {
  const SelfSupervisionOptions options = m3ae_options();
  const Batch batch = m3ae_batch();
  const JointStep whole = joint_step(m3ae_parts(options), options, batch);
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{2, 5}, {2, 0, 5}}) {
    std::vector<JointStep> steps(sizes.size());
    std::mutex models;  // weights are drawn from one generator
    fixtures::run_ranks(static_cast<int>(sizes.size()), [&](dist::Group& group) {
      const auto rank = static_cast<size_t>(group.rank());
      int64_t begin = 0;
      for (size_t r = 0; r < rank; ++r) begin += sizes[r];
      JointParts parts;
      {
        const std::lock_guard lock(models);
        parts = m3ae_parts(options);
      }
      Batch share = batch;
      for (torch::Tensor* tensor : {&share.pixels, &share.text_ids, &share.text_length,
                                    &share.has_text, &share.patch_order, &share.word_order})
        *tensor = tensor->slice(0, begin, begin + sizes[rank]).clone();
      steps[rank] = joint_step(parts, options, share, {.group = &group});
    });
    JointStep sum = steps[0];
    for (size_t r = 1; r < steps.size(); ++r) {
      for (const auto& [name, gradient] : steps[r].gradients) {
        auto& total = sum.gradients[name];
        total = total.defined() ? total + gradient : gradient;
      }
    }
    expect_same_step(sum, whole);
  }
}

// What is hidden, of the picture and of its text, must not leak into what is restored.
TEST(M3ae, WhatIsHiddenIsNotRead) {
  const SelfSupervisionOptions options = m3ae_options();
  const Batch batch = m3ae_batch();
  const auto restored = [&](const Batch& from) {
    const JointParts parts = m3ae_parts(options);
    return m3ae_patches(parts.model, parts.heads, options, from);
  };
  const auto before = restored(batch);
  const Masks words = mask_words(batch.word_order, batch.text_length, options.mlm_mask);
  Batch changed = batch;
  changed.text_ids =
      torch::where(words.hidden, torch::full_like(batch.text_ids, 7), batch.text_ids);
  EXPECT_TRUE(torch::equal(restored(changed), before));
  const auto seen = words.hidden.logical_not().logical_and(batch.text_ids.ne(0));
  changed.text_ids = torch::where(seen, torch::full_like(batch.text_ids, 7), batch.text_ids);
  const auto after = restored(changed);
  EXPECT_FALSE(torch::equal(after[0], before[0]));
  EXPECT_TRUE(torch::equal(after[2], before[2]));  // has no text
}

class M3aeRun : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    fixtures::write_squares(folder_ / "a.tar", 40);
  }
  void TearDown() override { fs::remove_all(folder_); }
  TrainConfig config(const char* run) const {
    TrainConfig made = fixtures::tiny_config(folder_ / "*.tar", folder_ / run);
    made.objective = find_objective("m3ae");
    made.self_supervision = m3ae_options();
    return made;
  }
  const fs::path folder_ =
      fs::path(testing::TempDir()) / ("opencloc-m3ae-" + std::to_string(getpid()));
};

std::string weights_of(const fs::path& run) {
  return read_file(run / "model/open_clip_model.safetensors");
}

TEST_F(M3aeRun, ResumesToTheSameBytesAndLeavesAPlainClip) {
  train(config("whole"));
  train(config("resumed"));
  for (const char* step : {"step-8", "step-6"})
    fs::remove_all(folder_ / "resumed/checkpoints" / step);
  train(config("resumed"));
  EXPECT_EQ(weights_of(folder_ / "resumed"), weights_of(folder_ / "whole"));
  EXPECT_EQ(read_file(folder_ / "resumed/checkpoints/step-8/beside.safetensors"),
            read_file(folder_ / "whole/checkpoints/step-8/beside.safetensors"));
  EXPECT_FALSE(fs::exists(folder_ / "whole/model/beside.safetensors"));
  EXPECT_FALSE(fs::exists(folder_ / "whole/model/cloc_heads.safetensors"));

  // Only the image tower has moved, and it reads pictures without any words.
  auto one_step = config("one");
  one_step.steps = 1;
  train(one_step);
  auto first = load_model(folder_ / "one/model"), last = load_model(folder_ / "whole/model");
  EXPECT_EQ(last.about["objective"], "m3ae");
  const auto before = first.model->clip_weights(), after = last.model->clip_weights();
  for (size_t i = 0; i < before.size(); ++i) {
    const auto& [name, weight] = before[i];
    const bool trained = name.starts_with("visual.") && name != "visual.proj";
    EXPECT_NE(torch::equal(weight, after[i].second), trained) << name;
  }
  const torch::NoGradGuard no_grad;
  const auto pixels = torch::randn({2, 3, 32, 32});
  const auto embedding = last.model->encode_image(pixels).embedding;
  EXPECT_EQ(embedding.sizes(), torch::IntArrayRef({2, 32}));
  EXPECT_FALSE(torch::equal(embedding, first.model->encode_image(pixels).embedding));
}

TEST_F(M3aeRun, LearnsAFewPicturesByHeart) {
  fixtures::write_squares(folder_ / "a.tar", 4);
  auto longer = config("longer");
  longer.steps = 300;
  longer.lr = 2e-3;
  longer.adamw.weight_decay = 0;
  longer.save_every = 300;
  longer.report_pictures = 2;
  longer.self_supervision.decoder.layers = 2;
  train(longer);
  const auto lines = read_metrics(folder_ / "longer/metrics.jsonl");
  const auto mean = [&](const char* figure, size_t from, size_t to) {
    double sum = 0;
    for (size_t i = from; i < to; ++i) sum += lines[i][figure].get<double>();
    return sum / static_cast<double>(to - from);
  };
  ASSERT_EQ(lines.size(), 300U);
  EXPECT_LT(mean("loss_mae", 280, 300), 0.3 * mean("loss_mae", 0, 5));
  EXPECT_LT(mean("loss_mlm", 280, 300), 0.3 * mean("loss_mlm", 0, 5));
  EXPECT_FALSE(lines.back().contains("loss_clip"));
  EXPECT_THAT(read_file(folder_ / "longer/report.html"), HasSubstr("what is restored"));
}

TEST_F(M3aeRun, PicturesWithoutATextServe) {
  {
    ShardWriter writer(folder_ / "b.tar");
    for (uint64_t i = 100; i < 140; ++i) {
      Record record = fixtures::squares(i);
      record.caption.clear();
      writer.write(record);
    }
    writer.commit();
  }
  auto both = config("both");
  both.steps = 20;  // 80 samples: all of them
  train(both);
  const auto lines = read_metrics(folder_ / "both/metrics.jsonl");
  int64_t captioned = 0;
  for (const auto& line : lines) captioned += line["captioned"].get<int64_t>();
  EXPECT_EQ(captioned, 40);
}

TEST_F(M3aeRun, SaysWhatCannotWork) {
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
  EXPECT_THAT(refused([](TrainConfig& c) {
                c.self_supervision.mae_weight = c.self_supervision.mlm_weight = 0;
              }),
              HasSubstr("both losses of M3AE have the weight 0"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.objective_options.patch_dropout = 0.5; }),
              HasSubstr("setting 'patch_dropout'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.objective_options.captioned_views = 2; }),
              HasSubstr("setting 'captioned_views'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.objective_options.quality_weight = 1; }),
              HasSubstr("setting 'quality_weight'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.self_supervision.mlm_sees = WordContext::kText; }),
              HasSubstr("setting 'mlm_sees'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.siglip = true; }), HasSubstr("setting 'siglip'"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.model = "coca-XXS-16-96"; }),
              HasSubstr("the model is a captioner"));
  EXPECT_THAT(refused([](TrainConfig& c) { c.self_supervision.decoder.width = 33; }),
              HasSubstr("setting 'mae_decoder'"));
}

}  // namespace
}  // namespace opencloc
