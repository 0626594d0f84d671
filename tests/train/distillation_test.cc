// Self-distillation in training: iBOT's pass and loss written out, the teacher as the moving
// average that it is, pieces and processes against one whole batch, and runs that keep what runs
// promise.
#include <cmath>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/functional/activation.h>
#include <torch/utils.h>

#include "opencloc/train/step.h"
#include "tests/dist/thread_group.h"
#include "tests/train/plain_blocks.h"
#include "tests/train/random_batch.h"
#include "tests/train/small_distillation.h"

namespace opencloc {
namespace {

using fixtures::small_distillation;

// Without padding, or with some in all pictures but the first.
Batch distilled_batch(bool padded, int64_t images = 7) {
  Batch batch = fixtures::random_batch(images, {0, 0, 1, 3, 3, 3, 6});
  const int64_t patches = load_model_config("ViT-Test").vision.patches();
  batch.patch_order = torch::rand({images, patches});
  if (padded) batch.patch_order.slice(0, 1).slice(1, patches - 5) = 2;
  return batch;
}

struct Learner {
  Cloc model{nullptr};
  SelfDistillation distillation{nullptr};
};

torch::Tensor beside(const Learner& learner, const std::string& name) {
  for (const auto& [key, value] : learner.distillation->beside()) {
    if (key == "distillation." + name) return value;
  }
  return {};
}

// A teacher that is another one than the student, and centres that are not zero.
Learner make_learner(const DistillationOptions& options) {
  torch::manual_seed(5);
  Learner learner;
  learner.model = Cloc(load_model_config("ViT-Test"));
  learner.distillation = SelfDistillation(options, learner.model->config());
  learner.distillation->start(learner.model);
  const torch::NoGradGuard no_grad;
  for (const auto& [name, weight] : learner.distillation->beside()) {
    if (name.find(".teacher.") != std::string::npos)
      weight.add_(torch::randn_like(weight), 0.3 * weight.std(/*unbiased=*/false).item<double>());
    if (name.ends_with("centre")) weight.copy_(0.1 * torch::randn_like(weight));
    if (name.ends_with("hidden_patch")) weight.copy_(0.1 * torch::randn_like(weight));
  }
  return learner;
}

struct DistilledStep {
  StepResult result;
  std::map<std::string, torch::Tensor> gradients;
  std::map<std::string, torch::Tensor> kept;  // after the update, without an optimizer's step
  double entropy = 0;
};

DistilledStep distilled_step(Learner learner, const DistillationOptions& options,
                             const Batch& batch, const char* name, const StepOptions& how = {}) {
  const auto objective = with_distillation(find_objective(name)->make(learner.model, {}),
                                           learner.model, learner.distillation, options);
  DistilledStep step;
  step.result = forward_backward(*objective, batch, how);
  for (const auto& module :
       {learner.model->named_parameters(), learner.distillation->named_parameters()}) {
    for (const auto& item : module) {
      const auto& gradient = item.value().grad();
      if (gradient.defined()) step.gradients[item.key()] = gradient.clone();
    }
  }
  learner.distillation->after_update(learner.model, *how.group);
  for (const auto& [key, value] : learner.distillation->beside())
    step.kept[key] = value.detach().clone();
  step.entropy = objective->log().at("distill_entropy").get<double>();
  return step;
}

double furthest(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

void expect_equal_steps(const DistilledStep& got, const DistilledStep& wanted) {
  EXPECT_NEAR(got.result.loss, wanted.result.loss, 2e-5);
  for (const char* figure : {"loss_distill", "loss_distill_global", "distill_place_entropy"})
    EXPECT_NEAR(got.result.figures.at(figure), wanted.result.figures.at(figure), 2e-5) << figure;
  EXPECT_NEAR(got.entropy, wanted.entropy, 2e-5);
  ASSERT_EQ(got.gradients.size(), wanted.gradients.size());
  for (const auto& [name, gradient] : wanted.gradients) {
    const double scale = std::max(2e-2, gradient.abs().max().item<double>());
    EXPECT_LE(furthest(got.gradients.at(name), gradient), 1e-4 * scale) << name;
  }
  for (const auto& [name, value] : wanted.kept)
    EXPECT_LE(furthest(got.kept.at(name), value), 1e-6) << name;
}

// A tower as iBOT's masked_im_modeling has it -> the tokens behind the last norm.
torch::Tensor plain_tower(const fixtures::Plain& tower, const VisionConfig& vision,
                          const torch::Tensor& pixels, const torch::Tensor& hidden,
                          const torch::Tensor& token) {
  const int64_t images = pixels.size(0), patch = vision.patch_size, grid = vision.grid();
  const auto patches = pixels.view({images, 3, grid, patch, grid, patch})
                           .permute({0, 2, 4, 1, 3, 5})
                           .reshape({images, grid * grid, -1});
  auto x = torch::matmul(patches, tower.at("conv1.weight").flatten(1).t());
  if (hidden.defined()) {
    const auto mask = hidden.to(torch::kFloat32).unsqueeze(2);
    x = x * (1 - mask) + token * mask;
  }
  x = torch::cat({tower.at("class_embedding").expand({images, 1, vision.width}), x}, 1) +
      tower.at("positional_embedding");
  x = tower.norm(x, "ln_pre");
  for (int64_t i = 0; i < vision.layers; ++i)
    x = tower.block(x, "transformer.resblocks." + std::to_string(i), vision.heads());
  return tower.norm(x, "ln_post");
}

// DINOHead with norm_last_layer.
torch::Tensor plain_head(const fixtures::Plain& head, torch::Tensor x) {
  x = torch::gelu(head.linear(x, "fc_1"));
  x = torch::gelu(head.linear(x, "fc_2"));
  const auto unit = [](const torch::Tensor& rows) { return rows / rows.norm(2, -1, true); };
  return torch::matmul(unit(head.linear(x, "fc_3")), unit(head.at("prototypes")).t());
}

struct PlainLoss {
  torch::Tensor places, images;
};

// iBOTLoss: patches, and the class token of the same picture; a mean over all places, which is
// iBOT's mean of means where all pictures have as many.
PlainLoss plain_ibot(const Learner& learner, const DistillationOptions& options,
                     const Batch& batch) {
  const auto& vision = learner.model->config().vision;
  const auto& ours = *learner.distillation;
  const auto real = batch.patch_order < 1;
  // The last three quarters of the real patches, by rank.
  const auto rank =
      batch.patch_order.argsort(1, /*descending=*/false).argsort(1, /*descending=*/false);
  const auto seen = (real.sum(1, /*keepdim=*/true) * (1 - options.mask)).round();
  const auto hidden = real.logical_and(rank >= seen);
  const auto student = plain_tower(fixtures::Plain(*learner.model->visual), vision, batch.pixels,
                                   hidden, ours.hidden_patch);
  const auto teacher =
      plain_tower(fixtures::Plain(*ours.teacher_tower), vision, batch.pixels, {}, {});
  const auto s = plain_head(fixtures::Plain(*ours.head), student) / options.temperature;
  const auto t = plain_head(fixtures::Plain(*ours.teacher_head), teacher);
  const double sharp = options.teacher_temperature_after(0);
  const auto cross = [&](int64_t from, int64_t to, const char* centre) {
    const auto said = ((t.slice(1, from, to) - beside(learner, centre)) / sharp).softmax(-1);
    return (-said.detach() * s.slice(1, from, to).log_softmax(-1)).sum(-1);  // [B, places]
  };
  const auto scored = (options.places == ScoredPlaces::kAll ? real : hidden).to(torch::kFloat32);
  return {(cross(1, s.size(1), "centre") * scored).sum() / scored.sum(),
          cross(0, 1, "global_centre").mean()};
}

TEST(SelfDistillation, IsIbots) {
  for (const auto places : {ScoredPlaces::kHidden, ScoredPlaces::kAll}) {
    for (const bool padded : {false, true}) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(places) << padded);
      DistillationOptions options = small_distillation();
      options.places = places;
      const Batch batch = distilled_batch(padded);
      const Learner plain = make_learner(options);
      const PlainLoss loss = plain_ibot(plain, options, batch);
      (options.weight * loss.places + options.global_weight * loss.images).backward();
      const DistilledStep both = distilled_step(make_learner(options), options, batch, "clip");
      EXPECT_NEAR(both.result.figures.at("loss_distill"), loss.places.item<double>(), 1e-5);
      EXPECT_NEAR(both.result.figures.at("loss_distill_global"), loss.images.item<double>(), 1e-5);
      const auto expect_near = [](const torch::Tensor& got, const torch::Tensor& wanted,
                                  const std::string& name) {
        EXPECT_LE(furthest(got, wanted), 1e-5 * std::max(1.0, wanted.abs().max().item<double>()))
            << name;
        EXPECT_GT(wanted.abs().max().item<double>(), 0) << name;
      };
      for (const auto& [name, weight] : plain.distillation->trained())
        expect_near(both.gradients.at(name.substr(13)), weight.grad(), name);
      // The gradients of CLIP and of this loss add up in the tower.
      const Learner clip = make_learner(options);
      forward_backward(*find_objective("clip")->make(clip.model, {}), batch);
      for (const auto& item : clip.model->visual->named_parameters()) {
        const auto own = plain.model->visual->named_parameters()[item.key()].grad();
        if (!own.defined()) continue;  // the projection
        expect_near(both.gradients.at("visual." + item.key()), item.value().grad() + own,
                    item.key());
      }
    }
  }
}

TEST(SelfDistillation, TheTeacherHasNoGradient) {
  const DistillationOptions options = small_distillation();
  const Learner learner = make_learner(options);
  const DistilledStep step = distilled_step(learner, options, distilled_batch(false), "clip");
  int teachers = 0;
  for (const auto& item : learner.distillation->named_parameters()) {
    const bool teacher = item.key().starts_with("teacher.");
    teachers += teacher ? 1 : 0;
    EXPECT_EQ(item.value().requires_grad(), !teacher) << item.key();
    EXPECT_EQ(step.gradients.count(item.key()) > 0, !teacher) << item.key();
  }
  EXPECT_GT(teachers, 20);
  for (const auto& [name, weight] : learner.distillation->trained())
    EXPECT_THAT(name, testing::Not(testing::HasSubstr("teacher")));
}

// theta_n = m_{n-1} ... m_0 theta_0 + sum_i m_{n-1} ... m_{i+1} (1 - m_i) student_i
TEST(SelfDistillation, TheTeacherIsTheMovingAverage) {
  const DistillationOptions options = small_distillation();
  Learner learner = make_learner(options);
  learner.distillation->start(learner.model);
  EXPECT_DOUBLE_EQ(options.momentum_after(0), 0.5);
  EXPECT_DOUBLE_EQ(options.momentum_after(5), 0.75);
  EXPECT_DOUBLE_EQ(options.momentum_after(10), 1);
  auto weight =
      learner.model->visual->named_parameters()["transformer.resblocks.0.mlp.c_fc.weight"];
  auto prototypes = learner.distillation->head->named_parameters()["prototypes"];
  constexpr int kUpdates = 7;
  std::vector<torch::Tensor> students{weight.detach().clone().to(torch::kDouble)},
      heads{prototypes.detach().clone().to(torch::kDouble)};
  for (int i = 0; i < kUpdates; ++i) {
    const torch::NoGradGuard no_grad;
    weight.add_(torch::randn_like(weight));
    prototypes.add_(torch::randn_like(prototypes));
    students.push_back(weight.clone().to(torch::kDouble));
    heads.push_back(prototypes.clone().to(torch::kDouble));
    learner.distillation->after_update(learner.model, dist::alone());
  }
  auto tower_sum = torch::zeros_like(students[0]), head_sum = torch::zeros_like(heads[0]);
  double share = 1;  // of what is older
  for (int i = kUpdates; i > 0; --i) {
    const double momentum = options.momentum_after(i - 1);
    tower_sum += share * (1 - momentum) * students[static_cast<size_t>(i)];
    head_sum += share * (1 - momentum) * heads[static_cast<size_t>(i)];
    share *= momentum;
  }
  tower_sum += share * students[0];
  head_sum += share * heads[0];
  EXPECT_LE(furthest(learner.distillation->teacher_tower
                         ->named_parameters()["transformer.resblocks.0.mlp.c_fc.weight"],
                     tower_sum),
            1e-5);
  EXPECT_LE(
      furthest(learner.distillation->teacher_head->named_parameters()["prototypes"], head_sum),
      1e-5);
  EXPECT_EQ(beside(learner, "updates").item<int64_t>(), kUpdates);
}

TEST(SelfDistillation, TheCentreFollowsTheMeanOfTheBatch) {
  DistillationOptions options = small_distillation();
  options.global_weight = 0;
  Learner learner = make_learner(options);
  auto& distillation = learner.distillation;
  auto centre = beside(learner, "centre").clone();
  const auto before = centre.clone();
  for (int step = 0; step < 3; ++step) {
    const auto logits = torch::randn({9, 20});
    distillation->begin({.places = 9, .images = 3});
    const auto first = distillation->distributions_of_places(logits.slice(0, 0, 4));
    // This batch's own mean is not in it yet.
    EXPECT_LE(
        furthest(first, ((logits.slice(0, 0, 4) - centre) / options.teacher_temperature_after(step))
                            .softmax(-1)),
        1e-6);
    const auto rest = distillation->distributions_of_places(logits.slice(0, 4));
    distillation->after_update(learner.model, dist::alone());
    centre = 0.9 * centre + 0.1 * logits.mean(0);
    EXPECT_LE(furthest(beside(learner, "centre"), centre), 1e-6);
    const auto mean = torch::cat({first, rest}).mean(0);
    EXPECT_NEAR(*distillation->mean_entropy(), -(mean * mean.log()).sum().item<double>(), 1e-5);
  }
  EXPECT_GT(furthest(before, centre), 1e-3);
  EXPECT_DOUBLE_EQ(options.teacher_temperature_after(0), 0.04);
  EXPECT_DOUBLE_EQ(options.teacher_temperature_after(3), 0.07);
  options.teacher_temperature = 0.02;
  EXPECT_DOUBLE_EQ(options.teacher_temperature_after(0), 0.02);
}

TEST(SelfDistillation, PiecesAreTheWholeBatch) {
  const DistillationOptions options = small_distillation();
  for (const char* name : {"clip", "cloc"}) {
    const Batch batch = distilled_batch(/*padded=*/true);
    const DistilledStep whole = distilled_step(make_learner(options), options, batch, name);
    EXPECT_GT(whole.gradients.at("hidden_patch").abs().max().item<double>(), 0);
    for (const int64_t parts : {3, 7}) {
      expect_equal_steps(
          distilled_step(make_learner(options), options, batch, name, {.accum_freq = parts}),
          whole);
    }
  }
}

TEST(SelfDistillation, ProcessesAreOneBatch) {
  const DistillationOptions options = small_distillation();
  const Batch batch = distilled_batch(/*padded=*/true);
  const DistilledStep whole = distilled_step(make_learner(options), options, batch, "clip");
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{4, 3}, {2, 0, 5}}) {
    std::vector<DistilledStep> steps(sizes.size());
    std::mutex models;  // weights are drawn from one generator
    fixtures::run_ranks(static_cast<int>(sizes.size()), [&](dist::Group& group) {
      const auto rank = static_cast<size_t>(group.rank());
      int64_t begin = 0;
      for (size_t r = 0; r < rank; ++r) begin += sizes[r];
      Learner learner;
      {
        const std::lock_guard lock(models);
        learner = make_learner(options);
      }
      Batch share = batch;
      for (torch::Tensor* tensor :
           {&share.pixels, &share.text_ids, &share.text_length, &share.patch_order})
        *tensor = tensor->slice(0, begin, begin + sizes[rank]).clone();
      steps[rank] = distilled_step(learner, options, share, "clip", {.group = &group});
    });
    DistilledStep sum = steps[0];
    for (size_t r = 1; r < steps.size(); ++r) {
      for (const auto& [name, gradient] : steps[r].gradients) {
        auto& total = sum.gradients[name];
        total = total.defined() ? total + gradient : gradient;
      }
      for (const auto& [name, value] : steps[r].kept)
        EXPECT_TRUE(torch::equal(value, sum.kept.at(name))) << name;
    }
    expect_equal_steps(sum, whole);
  }
}

}  // namespace
}  // namespace opencloc
