// The quality head in training: what its gradient reaches, that it learns, and that runs with it
// keep what runs promise.
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/clip/preprocess.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/step.h"
#include "tests/dist/thread_group.h"
#include "tests/train/random_batch.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr double kWeight = 0.5;

Cloc judging_model() {
  ModelConfig config = load_model_config("ViT-Test");
  config.cloc.quality_head = true;
  torch::manual_seed(5);
  return Cloc(config);
}

Batch rated_batch() {
  Batch batch = fixtures::random_batch(7, {0, 0, 1, 3, 3, 3, 6});
  batch.rated_image = torch::tensor({0, 0, 0, 1, 3, 3, 6, 6}, torch::kInt64);
  const auto corner = torch::rand({8, 2}) * 0.5;
  batch.rated_boxes = torch::cat({corner, corner + 0.1 + 0.4 * torch::rand({8, 2})}, 1);
  batch.rated_iou = torch::rand({8});
  return batch;
}

using Gradients = std::map<std::string, torch::Tensor>;

struct Stepped {
  StepResult result;
  Gradients gradients;
};

Stepped step_of(Cloc model, const Batch& batch, const ObjectiveOptions& options,
                const StepOptions& how = {}) {
  model->zero_grad(/*set_to_none=*/true);
  const auto objective = find_objective("cloc")->make(model, options);
  Stepped stepped{forward_backward(*objective, batch, how), {}};
  for (const auto& item : model->named_parameters()) {
    const auto& gradient = item.value().grad();
    if (gradient.defined()) stepped.gradients[item.key()] = gradient.clone();
  }
  return stepped;
}

// Of parameters whose name begins like this: did anything of it change?
bool differs(const Gradients& a, const Gradients& b, const std::string& prefix) {
  for (const auto& [name, gradient] : a) {
    if (name.starts_with(prefix) && !torch::equal(gradient, b.at(name))) return true;
  }
  return false;
}

TEST(Quality, TheGradientGoesAsFarAsItIsTold) {
  Cloc model = judging_model();
  const Batch batch = rated_batch();
  const auto without = step_of(model, batch, {});
  EXPECT_EQ(without.gradients.count("quality_head.fc1.weight"), 0u);
  for (const auto reach : {QualityReach::kHead, QualityReach::kPrompter, QualityReach::kAll}) {
    ObjectiveOptions options;
    options.quality_weight = kWeight;
    options.quality_reach = reach;
    const auto with = step_of(model, batch, options);
    for (const char* name : {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}) {
      const auto& gradient = with.gradients.at(std::string("quality_head.") + name);
      EXPECT_GT(gradient.abs().max().item<float>(), 0) << name;
    }
    EXPECT_EQ(differs(without.gradients, with.gradients, "prompter."),
              reach != QualityReach::kHead);
    EXPECT_EQ(differs(without.gradients, with.gradients, "visual."), reach == QualityReach::kAll);
    EXPECT_FALSE(differs(without.gradients, with.gradients, "text."));
    EXPECT_FALSE(differs(without.gradients, with.gradients, "box_head."));
    const double lambda = with.result.figures.at("lambda");
    EXPECT_NEAR(with.result.loss,
                without.result.loss + lambda * kWeight * with.result.figures.at("loss_quality"),
                1e-5);
  }
}

TEST(Quality, InPiecesAndInProcessesItIsTheSameStep) {
  const Batch batch = rated_batch();
  for (const auto reach : {QualityReach::kHead, QualityReach::kPrompter, QualityReach::kAll}) {
    ObjectiveOptions options;
    options.quality_weight = kWeight;
    options.quality_reach = reach;
    const auto whole = step_of(judging_model(), batch, options);
    const auto near = [&](const Gradients& got, const std::string& what) {
      for (const auto& [name, gradient] : whole.gradients) {
        const double scale = std::max(1e-5, gradient.abs().max().item<double>());
        const double off = (got.at(name) - gradient).abs().max().item<double>();
        EXPECT_LT(off, 5e-4 * scale) << what << " " << name;
      }
    };
    const auto pieces = step_of(judging_model(), batch, options, {.accum_freq = 3});
    EXPECT_NEAR(pieces.result.loss, whole.result.loss, 1e-5);
    near(pieces.gradients, "pieces");

    Batch parts[2] = {batch, batch};  // images 0 to 3, and 4 to 6 with one region
    for (int64_t i = 0; i < 2; ++i) {
      Batch& part = parts[i];
      const int64_t begin = i == 0 ? 0 : 4, end = i == 0 ? 4 : 7;
      const int64_t region = i == 0 ? 0 : 6, rated = i == 0 ? 0 : 6;
      const int64_t region_end = i == 0 ? 6 : 7, rated_end = i == 0 ? 6 : 8;
      for (auto* t : {&part.pixels, &part.text_ids, &part.text_length})
        *t = t->slice(0, begin, end).clone();
      for (auto* t : {&part.boxes, &part.region_ids, &part.region_length, &part.region_text_id})
        *t = t->slice(0, region, region_end).clone();
      part.region_image = (part.region_image.slice(0, region, region_end) - begin).clone();
      part.rated_boxes = part.rated_boxes.slice(0, rated, rated_end).clone();
      part.rated_iou = part.rated_iou.slice(0, rated, rated_end).clone();
      part.rated_image = (part.rated_image.slice(0, rated, rated_end) - begin).clone();
      part.images_with_regions = i == 0 ? 3 : 1;
    }
    std::vector<Stepped> steps(2);
    std::mutex models;  // weights are drawn from one generator
    fixtures::run_ranks(2, [&](dist::Group& group) {
      const auto rank = static_cast<size_t>(group.rank());
      Cloc model{nullptr};
      {
        const std::lock_guard lock(models);
        model = judging_model();
      }
      steps[rank] = step_of(model, parts[rank], options, {.group = &group});
    });
    Gradients sum;
    for (const auto& [name, gradient] : whole.gradients) {
      sum[name] = torch::zeros_like(gradient);
      for (auto& step : steps) {
        if (step.gradients.count(name) > 0) sum[name] += step.gradients[name];
      }
    }
    EXPECT_NEAR(steps[0].result.loss, whole.result.loss, 2e-5);
    near(sum, "processes");
  }
}

class QualityRun : public ::testing::Test {
 protected:
  TrainConfig config(const std::string& out, int pictures = 20) {
    if (!fs::exists(folder_ / "a.tar")) fixtures::write_squares(folder_ / "a.tar", pictures);
    TrainConfig config = fixtures::tiny_config(folder_ / "a.tar", folder_ / out);
    config.objective_options.quality_weight = kWeight;
    return config;
  }
  fixtures::TempFolder folder_;
};

TEST_F(QualityRun, ResumesToTheSameEndAndKeepsItsHead) {
  auto options = config("run");
  options.keep_checkpoints = 0;
  train(options);
  const auto weights = fixtures::final_weights(folder_ / "run");
  for (const Json& line : read_metrics(folder_ / "run/metrics.jsonl")) {
    for (const char* key : {"loss_quality", "quality_error", "constant_quality_error"})
      EXPECT_TRUE(line.contains(key)) << key;
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
  const auto loaded = load_model(folder_ / "run/model");
  ASSERT_TRUE(loaded.model->quality_head);
  const auto z = torch::randn({3, loaded.model->config().embed_dim});
  Cloc model = loaded.model;
  EXPECT_EQ(model->quality_logits(z).size(0), 3);
}

// With its gradient in the head alone, and no clipping that would couple them, the rest of the
// model is the one of a run without the head, to the last bit.
TEST_F(QualityRun, TheRestOfTheModelIsThatOfARunWithoutTheHead) {
  auto options = config("with");
  options.adamw.max_grad_norm = 0;
  options.objective_options.quality_reach = QualityReach::kHead;
  train(options);
  options.out = folder_ / "without";
  options.objective_options.quality_weight = 0;
  train(options);
  EXPECT_EQ(read_file(folder_ / "with/model/open_clip_model.safetensors"),
            read_file(folder_ / "without/model/open_clip_model.safetensors"));
  const auto with = load_model(folder_ / "with/model").model->region_weights();
  const auto without = load_model(folder_ / "without/model").model->region_weights();
  ASSERT_EQ(with.size(), without.size() + 4);
  for (size_t i = 0; i < without.size(); ++i)
    EXPECT_TRUE(torch::equal(with[i].second, without[i].second)) << with[i].first;
  EXPECT_THAT(read_file(folder_ / "without/model/cloc_config.json"),
              ::testing::Not(HasSubstr("quality")));
}

TEST_F(QualityRun, AModelThatIsThereGetsAHead) {
  auto options = config("first");
  options.objective_options.quality_weight = 0;
  train(options);
  const std::string first = (folder_ / "first/model").string();
  options = config("second");
  options.init = first;
  options.steps = 1;
  options.lr = 1e-9;
  train(options);
  const auto before = load_model(first).model->region_weights();
  const auto after = load_model(folder_ / "second/model").model->region_weights();
  ASSERT_EQ(after.size(), before.size() + 4);
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].first, after[i].first);
    EXPECT_LT((before[i].second - after[i].second).abs().max().item<float>(), 1e-6f);
  }
  // A run that began without one cannot go on with one.
  options = config("first");
  options.steps = 9;
  try {
    train(options);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    EXPECT_THAT(error.what(), HasSubstr("without a quality head"));
  }
}

// Mean predicted quality of boxes made from the true ones.
template <typename Change>
double mean_quality(Cloc& model, int pictures, const Change& change) {
  const torch::NoGradGuard no_grad;
  double sum = 0;
  int count = 0;
  for (int i = 0; i < pictures; ++i) {
    const Record record = fixtures::squares(5000u + static_cast<uint64_t>(i));
    const auto input = preprocess(Image::decode(record.image, record.key), model->config());
    const auto features = model->encode_image(input.pixels.unsqueeze(0));
    for (const Region& region : record.regions) {
      const Box box = clip_to_unit(change(region.box));
      const auto boxes = torch::tensor({{box.x0, box.y0, box.x1, box.y1}});
      const auto z =
          model->encode_regions(features, box_prompts(boxes, torch::zeros({1}, torch::kInt64)));
      sum += torch::sigmoid(model->quality_logits(z)).item<double>();
      ++count;
    }
  }
  return sum / count;
}

TEST_F(QualityRun, APerfectBoxScoresAboveALooseOneAndAboveNothing) {
  auto options = config("learned", 400);
  options.steps = 600;
  options.batch_size = 16;
  options.lr = 1e-2;
  options.adamw.weight_decay = 0;
  options.save_every = 600;
  options.sample.augment = false;
  options.objective_options.quality_weight = 5;
  options.objective_options.quality_reach = QualityReach::kAll;
  train(options);
  Cloc model = load_model(folder_ / "learned/model").model;
  model->eval();
  const double perfect = mean_quality(model, 40, [](const Box& box) { return box; });
  const double loose = mean_quality(model, 40, [](const Box& box) {  // IoU at most 1/4
    const float w = box.width() / 2, h = box.height() / 2;
    return Box{box.x0 - w, box.y0 - h, box.x1 + w, box.y1 + h};
  });
  const double beside = mean_quality(model, 40, [](const Box& box) {
    const float shift = box.x0 < 0.5f ? 0.5f : -0.5f;
    return Box{box.x0 + shift, 1 - box.y1, box.x1 + shift, 1 - box.y0};
  });
  EXPECT_GT(perfect, loose + 0.07);
  EXPECT_GT(perfect, beside + 0.2);
}

}  // namespace
}  // namespace opencloc
