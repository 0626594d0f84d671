#include "opencloc/train/step.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/model/config/config.h"
#include "opencloc/objective/batch_texts.h"
#include "opencloc/train/lock.h"
#include "opencloc/train/optimizer.h"
#include "opencloc/train/schedule.h"
#include "tests/train/random_batch.h"

namespace opencloc {
namespace {

using fixtures::random_batch;

Cloc small_model(const ClocConfig& cloc = {}) {
  ModelConfig config = load_model_config("ViT-Test");
  config.cloc = cloc;
  torch::manual_seed(5);
  return Cloc(config);
}

struct Setting {
  const char* objective = "cloc";
  ObjectiveOptions options;
  bool filter_open = false;
  int64_t accum_freq = 1;
};

StepResult run_step(Cloc& model, const Batch& batch, const Setting& setting = {}) {
  const auto objective = find_objective(setting.objective)->make(model, setting.options);
  if (setting.filter_open) objective->load_state({{"open", true}}, "test");
  return forward_backward(*objective, batch, {.accum_freq = setting.accum_freq});
}

std::vector<std::pair<std::string, torch::Tensor>> gradients(Cloc model, const Batch& batch,
                                                             const Setting& setting,
                                                             StepResult* stats = nullptr) {
  model->zero_grad(/*set_to_none=*/false);
  const auto got = run_step(model, batch, setting);
  if (stats != nullptr) *stats = got;
  std::vector<std::pair<std::string, torch::Tensor>> all;
  for (const auto& item : model->named_parameters()) {
    const auto& grad = item.value().grad();
    all.emplace_back(item.key(), grad.defined() ? grad.clone() : torch::Tensor());
  }
  return all;
}

void expect_equal_gradients(Cloc model, const Batch& batch, Setting options, int64_t parts) {
  StepResult whole, cached;
  const auto expected = gradients(model, batch, options, &whole);
  options.accum_freq = parts;
  const auto got = gradients(model, batch, options, &cached);
  EXPECT_NEAR(whole.loss, cached.loss, 1e-5);
  EXPECT_NEAR(whole.figures.at("loss_region"), cached.figures.at("loss_region"), 1e-5);
  EXPECT_NEAR(whole.figures.at("loss_grounding"), cached.figures.at("loss_grounding"), 1e-5);
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto& [name, grad] = expected[i];
    ASSERT_EQ(grad.defined(), got[i].second.defined()) << name;
    if (!grad.defined()) continue;
    const double scale = std::max(1e-6, grad.abs().max().item<double>());
    EXPECT_LT((grad - got[i].second).abs().max().item<double>(), 2e-4 * scale) << name;
  }
}

TEST(Accumulation, EqualsTheWholeBatch) {
  const auto batch = random_batch(7, {0, 0, 1, 3, 3, 3, 6});
  for (const auto pool : {Pool::kPrompt, Pool::kAll}) {
    ClocConfig cloc;
    cloc.pool = pool;
    for (const int64_t parts : {2, 3, 7})
      expect_equal_gradients(small_model(cloc), batch, {}, parts);
  }
}

TEST(Accumulation, EqualsTheWholeBatchWithAnIntegratedBoxAndSeveralLayers) {
  ClocConfig cloc;
  cloc.box_encoding = BoxEncoding::kIntegrated;
  cloc.several_layers = true;
  for (const int64_t parts : {2, 7})
    expect_equal_gradients(small_model(cloc), random_batch(7, {0, 0, 1, 3, 3, 3, 6}), {}, parts);
}

TEST(Accumulation, EqualsTheWholeBatchWithPointsAndMasks) {
  auto batch = random_batch(5, {0, 1, 1, 2, 4, 4});
  batch.prompt_kind = torch::tensor({0, 1, 2, 0, 2, 1}, torch::kInt64);
  batch.points = batch.boxes.slice(1, 0, 2).unsqueeze(1) + 0.15 * torch::rand({6, 8, 2});
  Setting options;
  options.options.grounding_kind = GroundingKind::kL1Giou;
  options.filter_open = true;
  expect_equal_gradients(small_model(), batch, options, 2);
}

TEST(Accumulation, EqualsTheWholeBatchWithTextContrastAndWithoutAFilter) {
  const auto batch = random_batch(7, {0, 0, 1, 3, 3, 3, 6});
  Setting options;
  options.options.text_contrast_weight = 0.3;
  options.options.text_contrast_threshold = 1;
  options.options.filter = {.on = false, .identical = false};
  StepResult with, without;
  gradients(small_model(), batch, options, &with);
  EXPECT_GT(with.figures.at("loss_text_contrast"), 0);
  for (const int64_t parts : {2, 7}) expect_equal_gradients(small_model(), batch, options, parts);
  const double weighted = options.options.text_contrast_weight * with.figures.at("lambda") *
                          with.figures.at("loss_text_contrast");
  options.options.text_contrast_weight = 0;
  gradients(small_model(), batch, options, &without);
  EXPECT_NEAR(with.loss, without.loss + weighted, 1e-5);
}

TEST(Accumulation, EqualsTheWholeBatchForClipAndWithoutRegions) {
  Setting options;
  expect_equal_gradients(small_model(), random_batch(6, {}), options, 3);
  options.objective = "clip";
  expect_equal_gradients(small_model(), random_batch(6, {0, 2}), options, 3);
}

// What a part bounds: images, and texts as many, though a batch has more texts than images.
TEST(Accumulation, APieceIsAPartOfTheImagesOrAsManyTexts) {
  auto model = small_model();
  const auto batch = random_batch(6, {0, 0, 0, 0, 1, 2, 2, 3, 4, 4, 5, 5});
  const auto objective = find_objective("cloc")->make(model, {});
  for (const int64_t parts : {1, 2, 3, 6}) {
    const auto work = objective->work(batch, {.parts = parts});
    NamedRows rows;
    int64_t texts = 0, images = 0;
    for (int64_t piece = 0; piece < work->pieces(); ++piece) {
      const Encoded encoded = work->encode(piece, rows, true);
      for (const auto& name : encoded.rows.names()) {
        rows.append(name, encoded.rows[name]);
        const int64_t count = encoded.rows[name].size(0);
        if (name == "text") texts = std::max(texts, count);
        if (name == "image") images = std::max(images, count);
      }
    }
    EXPECT_EQ(rows["text"].size(0), 18);
    EXPECT_EQ(rows["image"].size(0), 6);
    EXPECT_EQ(images, 6 / parts);
    EXPECT_LE(texts, parts > 1 ? 6 / parts : 18);
  }
}

TEST(Accumulation, EqualsTheWholeBatchWithFrozenTowers) {
  const auto batch = random_batch(5, {0, 0, 2, 4});
  Setting options;
  for (const LockOptions lock :
       {LockOptions{.image = true}, LockOptions{.text = true},
        LockOptions{.image = true, .text = true, .text_unlocked_groups = 2}}) {
    auto model = small_model();
    lock_towers(model, lock);
    expect_equal_gradients(model, batch, options, 3);
  }
  auto model = small_model();
  lock_towers(model, {.image = true, .text = true});
  options.options.clip = false;
  expect_equal_gradients(model, batch, options, 5);  // parts without a region, too
}

TEST(Step, FrozenParametersHaveNoGradient) {
  auto model = small_model();
  lock_towers(model, {.image = true, .text = true, .image_unlocked_groups = 2});
  for (const auto& [name, grad] : gradients(model, random_batch(4, {0, 1}), {})) {
    EXPECT_EQ(grad.defined(), model->named_parameters()[name].requires_grad()) << name;
  }
}

TEST(Step, LambdaIsTheShareOfImagesWithRegions) {
  auto model = small_model();
  const auto stats = run_step(model, random_batch(8, {0, 0, 5}));
  EXPECT_DOUBLE_EQ(stats.figures.at("lambda"), 0.25);
  const double boxes = ObjectiveOptions().grounding_weight *
                       (stats.figures.at("loss_grounding") + stats.figures.at("loss_recovery"));
  EXPECT_NEAR(stats.loss,
              stats.figures.at("loss_clip") + 0.25 * (stats.figures.at("loss_region") + boxes),
              1e-5);
  EXPECT_EQ(stats.figures.at("regions"), 3);
}

// Images `rows` of a batch, without regions.
Batch images_of(const Batch& batch, const torch::Tensor& rows) {
  Batch part = random_batch(rows.size(0), {});
  part.pixels = batch.pixels.index_select(0, rows);
  part.text_ids = batch.text_ids.index_select(0, rows);
  part.text_length = batch.text_length.index_select(0, rows);
  return part;
}

// Pictures of region data: L_CLIP is that of the others, be it InfoNCE or the sigmoid loss.
TEST(Step, PicturesWithoutATextStayOutOfClip) {
  for (const bool sigmoid : {false, true}) {
    ModelConfig config = load_model_config("ViT-Test");
    if (sigmoid) config.init_logit_bias = -10;
    torch::manual_seed(5);
    Cloc model(config);
    auto batch = random_batch(6, {0, 1, 1, 4});
    batch.has_text = torch::tensor({true, false, true, true, false, true});
    Setting clip_alone;
    clip_alone.objective = "clip";
    StepResult captioned, stats;
    gradients(model, images_of(batch, torch::tensor({0, 2, 3, 5})), clip_alone, &captioned);
    gradients(model, batch, {}, &stats);
    EXPECT_EQ(stats.figures.at("captioned"), 4);
    EXPECT_NEAR(stats.figures.at("loss_clip"), captioned.figures.at("loss_clip"), 1e-5);
    EXPECT_EQ(stats.figures.at("regions"), 4);
    expect_equal_gradients(model, batch, {}, 3);
    expect_equal_gradients(model, batch, {}, 6);

    batch.has_text = torch::zeros({6}, torch::kBool);
    const auto all = gradients(model, batch, {}, &stats);
    EXPECT_EQ(stats.figures.at("loss_clip"), 0);
    EXPECT_GT(stats.figures.at("loss_region"), 0);
    for (const auto& [name, grad] : all) {
      if (name == "logit_scale" || name == "visual.conv1.weight") {
        EXPECT_EQ(grad.abs().sum().item<float>() > 0, name != "logit_scale") << name;
      }
    }
    expect_equal_gradients(model, batch, {}, 3);
    auto nothing = random_batch(2, {});
    nothing.has_text = torch::zeros({2}, torch::kBool);
    const auto none = run_step(model, nothing);
    EXPECT_EQ(none.loss, 0);
    EXPECT_TRUE(none.finite());
  }
}

// A text that names two boxes of its picture has no right answer.
TEST(Step, RepeatedTextsAreNotGrounded) {
  auto batch = random_batch(5, {0, 0, 1, 3, 4});
  batch.names_one_box = torch::tensor({false, false, true, true, false});
  StepResult stats;
  auto model = small_model();
  gradients(model, batch, {}, &stats);
  EXPECT_EQ(stats.figures.at("grounded_regions"), 2);
  EXPECT_EQ(stats.figures.at("regions"), 5) << "they stay in L_CLOC";
  Setting options;
  options.options.box_recovery = false;  // that asks for the box of a box
  auto moved = batch;
  moved.boxes = batch.boxes.clone();
  const auto target_of = [&](int64_t row) {
    moved.boxes.copy_(batch.boxes);
    moved.boxes[row] = torch::tensor({0.0f, 0.0f, 1.0f, 1.0f});
    StepResult got;
    gradients(model, moved, options, &got);
    return got.figures.at("loss_grounding");
  };
  for (const int64_t row : {0, 1, 4})
    EXPECT_EQ(target_of(row), stats.figures.at("loss_grounding")) << row;
  for (const int64_t row : {2, 3})
    EXPECT_NE(target_of(row), stats.figures.at("loss_grounding")) << row;
  expect_equal_gradients(small_model(), batch, {}, 3);

  batch.names_one_box = torch::zeros({5}, torch::kBool);
  gradients(model, batch, {}, &stats);
  EXPECT_EQ(stats.figures.at("grounded_regions"), 0);
  EXPECT_EQ(stats.figures.at("loss_grounding"), 0);
  EXPECT_TRUE(stats.finite());
}

TEST(Step, ClipTrainsTheTowersAlone) {
  auto model = small_model();
  Setting options;
  options.objective = "clip";
  for (const auto& [name, grad] : gradients(model, random_batch(4, {0, 1}), options)) {
    const bool region_part = name.starts_with("prompter") || name.starts_with("box_head") ||
                             name == "region_logit_scale";
    EXPECT_EQ(grad.defined(), !region_part) << name;
  }
}

TEST(Step, ALossThatIsNotFiniteHasNoBackwardPass) {
  auto model = small_model();
  auto batch = random_batch(4, {0});
  batch.pixels[2][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  const auto stats = run_step(model, batch);
  EXPECT_FALSE(stats.finite());
  EXPECT_FALSE(model->logit_scale.grad().defined());
}

TEST(Step, LogitScalesStayBelowTheirCap) {
  auto model = small_model();
  {
    const torch::NoGradGuard no_grad;
    model->logit_scale.fill_(6);
    model->region_logit_scale.fill_(-1);
  }
  model->logit_scale.requires_grad_(false);
  clamp_logit_scales(model);
  EXPECT_EQ(model->logit_scale.item<double>(), 6) << "frozen";
  model->logit_scale.requires_grad_(true);
  clamp_logit_scales(model);
  EXPECT_NEAR(model->logit_scale.item<double>(), std::log(100.0), 1e-6);
  EXPECT_NEAR(model->region_logit_scale.item<double>(), -1, 1e-6);
}

// At the cap a scale may only come down, whatever the losses of single processes wish.
TEST(Step, CappedLogitScalesAreHeld) {
  auto model = small_model();
  const auto held = [&](torch::Tensor& scale, double value, float gradient) {
    {
      const torch::NoGradGuard no_grad;
      scale.fill_(value);
    }
    scale.mutable_grad() = torch::full_like(scale, gradient);
    hold_capped_logit_scales(model);
    return scale.grad().item<float>();
  };
  for (auto* scale : {&model->logit_scale, &model->region_logit_scale}) {
    EXPECT_EQ(held(*scale, std::log(100.0), -1), 0) << "a step would raise it";
    EXPECT_EQ(held(*scale, std::log(100.0), 1), 1);
    EXPECT_EQ(held(*scale, 2.0, -1), -1);
  }
}

// The losses and their gradients are right when one batch can be learned by heart.
TEST(Step, OverfitsOneBatch) {
  auto model = small_model();
  const auto batch = random_batch(8, {0, 0, 1, 2, 3, 3, 4, 5, 6, 7});
  NamedTensors parameters = model->clip_weights();
  for (auto& weight : model->region_weights()) parameters.push_back(weight);
  AdamW optimizer(parameters, {.weight_decay = 0});
  const Schedule schedule{3e-3, 20, 300};
  StepResult first, last;
  for (int64_t step = 0; step < 300; ++step) {
    optimizer.zero_grad();
    last = run_step(model, batch);
    if (step == 0) first = last;
    ASSERT_TRUE(last.finite());
    optimizer.step(schedule.at(step), optimizer.grad_norm());
    clamp_logit_scales(model);
  }
  EXPECT_LT(last.figures.at("loss_clip"), 0.05 * first.figures.at("loss_clip"));
  EXPECT_LT(last.figures.at("loss_region"), 0.05 * first.figures.at("loss_region"));
  EXPECT_GT(last.figures.at("grounding_iou"), 0.9);
  EXPECT_LT(last.figures.at("constant_box_iou"), 0.7)
      << "the boxes differ: the mean box is no answer";
  EXPECT_EQ(last.figures.at("grounding_inverted"), 0);
}

TEST(Texts, DistinctTextsAreEncodedOnceAndCut) {
  auto batch = random_batch(3, {0, 0, 1, 2});
  batch.region_ids[2] = batch.region_ids[0];
  batch.region_length[2] = batch.region_length[0];
  batch.text_ids[1] = batch.region_ids[3];
  batch.text_length[1] = batch.region_length[3];
  const auto texts = distinct_texts(batch, {.max_rows = 2});
  EXPECT_EQ(texts.size(), 5);
  EXPECT_EQ(texts.region_row[0].item<int64_t>(), texts.region_row[2].item<int64_t>());
  EXPECT_EQ(texts.region_row[3].item<int64_t>(), texts.caption_row[1].item<int64_t>());
  for (const auto& group : texts.groups) EXPECT_LE(group.size(0), 2);

  auto model = small_model();
  std::vector<torch::Tensor> embeddings;
  for (const auto& group : texts.groups) embeddings.push_back(model->encode_text(group));
  const auto once = torch::cat(embeddings);
  EXPECT_TRUE(torch::allclose(once.index_select(0, texts.caption_row),
                              model->encode_text(batch.text_ids), 1e-4, 1e-5));
  EXPECT_TRUE(torch::allclose(once.index_select(0, texts.region_row),
                              model->encode_text(batch.region_ids), 1e-4, 1e-5));
}

TEST(Texts, RegionTextsMayBeLeftOut) {
  const auto batch = random_batch(3, {0, 0, 1, 2});
  const auto texts = distinct_texts(batch, {.with_regions = false});
  EXPECT_EQ(texts.size(), 3);
  EXPECT_EQ(texts.region_row.size(0), 0);
}

}  // namespace
}  // namespace opencloc
