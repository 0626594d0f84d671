#include "opencloc/train/step.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/model/config.h"
#include "opencloc/train/lock.h"
#include "opencloc/train/optimizer.h"
#include "opencloc/train/schedule.h"
#include "opencloc/train/texts.h"

namespace opencloc {
namespace {

constexpr int64_t kContext = 16, kVocabulary = 512, kEnd = kVocabulary - 1;

Cloc small_model(const ClocConfig& cloc = {}) {
  ModelConfig config = load_model_config("ViT-Test");
  config.cloc = cloc;
  torch::manual_seed(5);
  return Cloc(config);
}

// ids [n, T] with lengths between 3 and T.
void random_texts(int64_t count, torch::Tensor& ids, torch::Tensor& length) {
  ids = torch::zeros({count, kContext}, torch::kInt64);
  length = torch::randint(3, kContext + 1, {count}, torch::kInt64);
  for (int64_t i = 0; i < count; ++i) {
    const auto words = length[i].item<int64_t>() - 1;
    ids[i].slice(0, 0, words) = torch::randint(1, kEnd, {words}, torch::kInt64);
    ids[i][words] = kEnd;
  }
}

Batch random_batch(int64_t images, const std::vector<int64_t>& region_image) {
  torch::manual_seed(9);
  const auto regions = static_cast<int64_t>(region_image.size());
  Batch batch;
  batch.pixels = torch::randn({images, 3, 32, 32});
  random_texts(images, batch.text_ids, batch.text_length);
  random_texts(regions, batch.region_ids, batch.region_length);
  const auto corner = torch::rand({regions, 2}) * 0.5;
  batch.boxes = torch::cat({corner, corner + 0.2 + 0.3 * torch::rand({regions, 2})}, 1);
  batch.region_image = torch::tensor(region_image, torch::kInt64);
  batch.region_text_id = torch::arange(regions);
  batch.keys.resize(static_cast<size_t>(images), "key");
  batch.images_with_regions =
      regions == 0 ? 0 : std::get<0>(torch::_unique(batch.region_image)).size(0);
  return batch;
}

std::vector<std::pair<std::string, torch::Tensor>> gradients(Cloc& model, const Batch& batch,
                                                             const StepOptions& options,
                                                             StepStats* stats = nullptr) {
  model->zero_grad();
  const auto got = forward_backward(model, batch, options);
  if (stats != nullptr) *stats = got;
  std::vector<std::pair<std::string, torch::Tensor>> all;
  for (const auto& item : model->named_parameters()) {
    const auto& grad = item.value().grad();
    all.emplace_back(item.key(), grad.defined() ? grad.clone() : torch::Tensor());
  }
  return all;
}

void expect_equal_gradients(Cloc model, const Batch& batch, StepOptions options, int64_t parts) {
  StepStats whole, cached;
  const auto expected = gradients(model, batch, options, &whole);
  options.accum_freq = parts;
  const auto got = gradients(model, batch, options, &cached);
  EXPECT_NEAR(whole.loss, cached.loss, 1e-5);
  EXPECT_NEAR(whole.region, cached.region, 1e-5);
  EXPECT_NEAR(whole.grounding, cached.grounding, 1e-6);
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

TEST(Accumulation, EqualsTheWholeBatchWithPointsAndMasks) {
  auto batch = random_batch(5, {0, 1, 1, 2, 4, 4});
  batch.prompt_kind = torch::tensor({0, 1, 2, 0, 2, 1}, torch::kInt64);
  batch.points = batch.boxes.slice(1, 0, 2).unsqueeze(1) + 0.15 * torch::rand({6, 8, 2});
  StepOptions options;
  options.grounding_kind = GroundingKind::kL1Giou;
  options.filter.similarity_test = true;
  expect_equal_gradients(small_model(), batch, options, 2);
}

TEST(Accumulation, EqualsTheWholeBatchForClipAndWithoutRegions) {
  StepOptions options;
  expect_equal_gradients(small_model(), random_batch(6, {}), options, 3);
  options.forward.objective = Objective::kClip;
  expect_equal_gradients(small_model(), random_batch(6, {0, 2}), options, 3);
}

TEST(Accumulation, EqualsTheWholeBatchWithFrozenTowers) {
  const auto batch = random_batch(5, {0, 0, 2, 4});
  StepOptions options;
  for (const LockOptions lock :
       {LockOptions{.image = true}, LockOptions{.text = true},
        LockOptions{.image = true, .text = true, .text_unlocked_groups = 2}}) {
    auto model = small_model();
    lock_towers(model, lock);
    expect_equal_gradients(model, batch, options, 3);
  }
  auto model = small_model();
  lock_towers(model, {.image = true, .text = true});
  options.forward.clip = false;
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
  const auto stats = forward_backward(model, random_batch(8, {0, 0, 5}), {});
  EXPECT_DOUBLE_EQ(stats.lambda, 0.25);
  const double boxes = StepOptions().grounding_weight * (stats.grounding + stats.recovery);
  EXPECT_NEAR(stats.loss, stats.clip + 0.25 * (stats.region + boxes), 1e-5);
  EXPECT_EQ(stats.regions, 3);
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
    StepOptions clip_alone;
    clip_alone.forward.objective = Objective::kClip;
    StepStats captioned, stats;
    gradients(model, images_of(batch, torch::tensor({0, 2, 3, 5})), clip_alone, &captioned);
    gradients(model, batch, {}, &stats);
    EXPECT_EQ(stats.captioned, 4);
    EXPECT_NEAR(stats.clip, captioned.clip, 1e-5);
    EXPECT_EQ(stats.regions, 4);
    expect_equal_gradients(model, batch, {}, 3);
    expect_equal_gradients(model, batch, {}, 6);

    batch.has_text = torch::zeros({6}, torch::kBool);
    const auto all = gradients(model, batch, {}, &stats);
    EXPECT_EQ(stats.clip, 0);
    EXPECT_GT(stats.region, 0);
    for (const auto& [name, grad] : all) {
      if (name == "logit_scale" || name == "visual.conv1.weight") {
        EXPECT_EQ(grad.abs().sum().item<float>() > 0, name != "logit_scale") << name;
      }
    }
    expect_equal_gradients(model, batch, {}, 3);
    auto nothing = random_batch(2, {});
    nothing.has_text = torch::zeros({2}, torch::kBool);
    const auto none = forward_backward(model, nothing, {});
    EXPECT_EQ(none.loss, 0);
    EXPECT_TRUE(none.finite());
  }
}

// A text that names two boxes of its picture has no right answer.
TEST(Step, RepeatedTextsAreNotGrounded) {
  auto batch = random_batch(5, {0, 0, 1, 3, 4});
  batch.names_one_box = torch::tensor({false, false, true, true, false});
  StepStats stats;
  auto model = small_model();
  gradients(model, batch, {}, &stats);
  EXPECT_EQ(stats.grounded, 2);
  EXPECT_EQ(stats.regions, 5) << "they stay in L_CLOC";
  StepOptions options;
  options.forward.box_recovery = false;  // that asks for the box of a box
  auto moved = batch;
  moved.boxes = batch.boxes.clone();
  const auto target_of = [&](int64_t row) {
    moved.boxes.copy_(batch.boxes);
    moved.boxes[row] = torch::tensor({0.0f, 0.0f, 1.0f, 1.0f});
    StepStats got;
    gradients(model, moved, options, &got);
    return got.grounding;
  };
  for (const int64_t row : {0, 1, 4}) EXPECT_EQ(target_of(row), stats.grounding) << row;
  for (const int64_t row : {2, 3}) EXPECT_NE(target_of(row), stats.grounding) << row;
  expect_equal_gradients(small_model(), batch, {}, 3);

  batch.names_one_box = torch::zeros({5}, torch::kBool);
  gradients(model, batch, {}, &stats);
  EXPECT_EQ(stats.grounded, 0);
  EXPECT_EQ(stats.grounding, 0);
  EXPECT_TRUE(stats.finite());
}

TEST(Step, ClipTrainsTheTowersAlone) {
  auto model = small_model();
  StepOptions options;
  options.forward.objective = Objective::kClip;
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
  const auto stats = forward_backward(model, batch, {});
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

// The losses and their gradients are right when one batch can be learned by heart.
TEST(Step, OverfitsOneBatch) {
  auto model = small_model();
  const auto batch = random_batch(8, {0, 0, 1, 2, 3, 3, 4, 5, 6, 7});
  NamedTensors parameters = model->clip_weights();
  for (auto& weight : model->region_weights()) parameters.push_back(weight);
  AdamW optimizer(parameters, {.weight_decay = 0});
  const Schedule schedule{3e-3, 20, 300};
  StepStats first, last;
  for (int64_t step = 0; step < 300; ++step) {
    optimizer.zero_grad();
    last = forward_backward(model, batch, {});
    if (step == 0) first = last;
    ASSERT_TRUE(last.finite());
    optimizer.step(schedule.at(step), optimizer.grad_norm());
    clamp_logit_scales(model);
  }
  EXPECT_LT(last.clip, 0.05 * first.clip);
  EXPECT_LT(last.region, 0.05 * first.region);
  EXPECT_GT(last.grounding_iou, 0.9);
  EXPECT_LT(last.constant_box_iou, 0.7) << "the boxes differ: the mean box is no answer";
  EXPECT_EQ(last.grounding_inverted, 0);
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
  const auto once = encode_texts(model, texts);
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
