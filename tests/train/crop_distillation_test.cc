// Crop distillation in training: its loss and gradients written out, the teacher as the moving
// average that it is, pieces and processes against one whole batch, and runs that keep what runs
// promise.
#include <cmath>
#include <functional>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/clip/resize.h"
#include "opencloc/objective/crop_teacher.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/step.h"
#include "tests/dist/thread_group.h"
#include "tests/train/random_batch.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr double kCropWeight = 0.7;

Cloc cropped_model(RegionExtractor extractor = RegionExtractor::kPrompter) {
  ModelConfig config = load_model_config("ViT-Test");
  config.cloc.region_extractor = extractor;
  torch::manual_seed(5);
  return Cloc(config);
}

// Picture 2 has no crops.
Batch cropped_batch(const std::vector<int64_t>& region_image = {0, 0, 1, 3, 3, 3, 6}) {
  Batch batch = fixtures::random_batch(7, region_image);
  const std::vector<int64_t> crop_image = {0, 1, 1, 3, 4, 5, 5, 6};
  const auto count = static_cast<int64_t>(crop_image.size());
  const auto corner = torch::rand({count, 2}) * 0.5;
  batch.crop_boxes = torch::cat({corner, corner + 0.2 + 0.3 * torch::rand({count, 2})}, 1);
  batch.crop_pixels = torch::randn({count, 3, 16, 16});
  batch.crop_image = torch::tensor(crop_image, torch::kInt64);
  return batch;
}

// A teacher that is another one than the student.
std::shared_ptr<CropTeacherImpl> other_teacher(const Cloc& model, double momentum = 0.5) {
  CropDistillationOptions options;
  options.momentum = momentum;
  const auto teacher = std::make_shared<CropTeacherImpl>(options, model->config());
  teacher->start(model);
  torch::manual_seed(11);
  const torch::NoGradGuard no_grad;
  for (const auto& [name, weight] : teacher->beside())
    weight.add_(torch::randn_like(weight), 0.3 * weight.std(/*unbiased=*/false).item<double>());
  return teacher;
}

struct CroppedStep {
  StepResult result;
  std::map<std::string, torch::Tensor> gradients;
  std::shared_ptr<CropTeacherImpl> teacher;
};

CroppedStep cropped_step(Cloc model, const Batch& batch, double weight,
                         const StepOptions& how = {}) {
  CroppedStep step;
  step.teacher = other_teacher(model);
  ObjectiveOptions options;
  options.crop_weight = weight;
  options.crop_teacher = step.teacher;
  const auto objective = find_objective("cloc")->make(model, options);
  step.result = forward_backward(*objective, batch, how);
  for (const auto& item : model->named_parameters())
    if (item.value().grad().defined()) step.gradients[item.key()] = item.value().grad().clone();
  return step;
}

void expect_near_crop_gradients(const std::map<std::string, torch::Tensor>& got,
                                const std::map<std::string, torch::Tensor>& want,
                                const std::string& what) {
  for (const auto& [name, gradient] : want) {
    const double scale = std::max(1e-5, gradient.abs().max().item<double>());
    ASSERT_EQ(got.count(name), 1u) << what << ' ' << name;
    EXPECT_LT((got.at(name) - gradient).abs().max().item<double>(), 5e-4 * scale)
        << what << ' ' << name;
  }
}

// 1 - mean_i cos(region_i, teacher(crop_i)), the teacher being a whole model for such pictures.
torch::Tensor written_out(Cloc student, const Batch& batch, const CropTeacherImpl& teacher) {
  Cloc of_crops = with_image_size(student, 16);
  auto parameters = of_crops->named_parameters();
  const torch::Tensor said = [&] {
    const torch::NoGradGuard no_grad;
    for (const auto& [name, weight] : teacher.beside())
      parameters[name.substr(std::string("crop_teacher.").size())].copy_(weight);
    return of_crops->encode_image(batch.crop_pixels).embedding.clone();  // [C, E]
  }();
  const auto z = student->encode_regions(student->encode_image(batch.pixels),
                                         box_prompts(batch.crop_boxes, batch.crop_image));
  torch::Tensor sum = torch::zeros({});
  for (int64_t i = 0; i < batch.crops(); ++i)
    sum = sum + 1 - z[i].dot(said[i]) / (z[i].norm() * said[i].norm());
  return sum / batch.crops();
}

TEST(CropDistillation, IsOneMinusTheCosineOfRegionAndCrop) {
  for (const auto extractor : {RegionExtractor::kPrompter, RegionExtractor::kRoiAlign}) {
    const Batch batch = cropped_batch();
    const auto step = cropped_step(cropped_model(extractor), batch, kCropWeight);
    const auto without = cropped_step(cropped_model(extractor), batch, 0);
    EXPECT_FALSE(without.result.figures.has("loss_crop"));
    Cloc plain = cropped_model(extractor);
    const auto loss = written_out(plain, batch, *step.teacher);
    (kCropWeight * loss).backward();
    EXPECT_NEAR(step.result.figures.at("loss_crop"), loss.item<double>(), 1e-5);
    EXPECT_NEAR(step.result.loss, without.result.loss + kCropWeight * loss.item<double>(), 1e-5);
    // It adds to the gradients of all that a region's embedding is made of.
    auto wanted = without.gradients;
    int changed = 0;
    for (const auto& item : plain->named_parameters()) {
      if (!item.value().grad().defined()) continue;
      wanted[item.key()] = wanted[item.key()] + item.value().grad();
      changed += item.value().grad().abs().max().item<double>() > 0;
    }
    EXPECT_GT(changed, 30);
    expect_near_crop_gradients(step.gradients, wanted, "written out");
    // The teacher has none.
    for (const auto& [name, weight] : step.teacher->beside()) {
      EXPECT_FALSE(weight.requires_grad()) << name;
      EXPECT_FALSE(weight.grad().defined()) << name;
    }
  }
}

// Labels play no part in it: pictures without any regions train by their crops, also where they
// have no text either.
TEST(CropDistillation, NeedsNoRegionsAndNoTexts) {
  Batch batch = cropped_batch({});
  Cloc plain = cropped_model();
  const auto step = cropped_step(cropped_model(), batch, kCropWeight);
  const double loss = written_out(plain, batch, *step.teacher).item<double>();
  EXPECT_NEAR(step.result.loss, step.result.figures.at("loss_clip") + kCropWeight * loss, 1e-5);
  batch.has_text = torch::zeros({7}, torch::kBool);
  for (const int64_t parts : {1, 3}) {
    const auto only = cropped_step(cropped_model(), batch, kCropWeight, {.accum_freq = parts});
    EXPECT_NEAR(only.result.loss, kCropWeight * loss, 1e-5);
    EXPECT_GT(only.gradients.at("prompter.proj").abs().max().item<double>(), 0);
  }
}

// An answer that is the same everywhere is worth 1 - |mean of what the teacher says|.
TEST(CropDistillation, SaysWhatAConstantAnswerGets) {
  const Batch batch = cropped_batch();
  const auto step = cropped_step(cropped_model(), batch, kCropWeight);
  const auto said = step.teacher->embed(cropped_model(), batch.crop_pixels);
  EXPECT_LT((said.norm(2, 1) - 1).abs().max().item<double>(), 1e-5);
  const auto best = normalized(said.mean(0, true)).expand_as(said);
  EXPECT_NEAR(step.result.figures.at("constant_loss_crop"),
              1 - (said * best).sum(1).mean().item<double>(), 1e-5);
}

TEST(CropDistillation, InPiecesAndInProcessesItIsTheSameStep) {
  const Batch batch = cropped_batch();
  const auto whole = cropped_step(cropped_model(), batch, kCropWeight);
  for (const int64_t parts : {2, 3, 7}) {
    const auto pieces = cropped_step(cropped_model(), batch, kCropWeight, {.accum_freq = parts});
    EXPECT_NEAR(pieces.result.loss, whole.result.loss, 1e-5);
    for (const char* figure : {"loss_crop", "constant_loss_crop"})
      EXPECT_NEAR(pieces.result.figures.at(figure), whole.result.figures.at(figure), 1e-5);
    expect_near_crop_gradients(pieces.gradients, whole.gradients, "pieces");
  }
  Batch shares[2] = {batch, batch};  // images 0 to 2 with 3 regions and crops; 3 to 6 with 4 and 5
  for (int64_t i = 0; i < 2; ++i) {
    Batch& share = shares[i];
    const int64_t begin = i == 0 ? 0 : 3, end = i == 0 ? 3 : 7;  // images, and regions alike
    for (auto* t : {&share.pixels, &share.text_ids, &share.text_length, &share.boxes,
                    &share.region_ids, &share.region_length, &share.region_text_id})
      *t = t->slice(0, begin, end).clone();
    share.region_image = batch.region_image.slice(0, begin, end) - begin;
    const int64_t first = i == 0 ? 0 : 3, last = i == 0 ? 3 : 8;  // crops
    for (auto* t : {&share.crop_boxes, &share.crop_pixels}) *t = t->slice(0, first, last).clone();
    share.crop_image = batch.crop_image.slice(0, first, last) - begin;
    share.images_with_regions = 2;
  }
  std::vector<CroppedStep> steps(2);
  std::mutex models;
  fixtures::run_ranks(2, [&](dist::Group& group) {
    const auto rank = static_cast<size_t>(group.rank());
    Cloc model{nullptr};
    ObjectiveOptions options;
    options.crop_weight = kCropWeight;
    {
      const std::lock_guard lock(models);  // weights are drawn from one generator
      model = cropped_model();
      options.crop_teacher = other_teacher(model);
    }
    const auto objective = find_objective("cloc")->make(model, options);
    steps[rank].result = forward_backward(*objective, shares[rank], {.group = &group});
    for (const auto& item : model->named_parameters())
      if (item.value().grad().defined())
        steps[rank].gradients[item.key()] = item.value().grad().clone();
  });
  std::map<std::string, torch::Tensor> sum;
  for (const auto& [name, gradient] : whole.gradients) {
    sum[name] = torch::zeros_like(gradient);
    for (auto& step : steps)
      if (step.gradients.count(name) > 0) sum[name] += step.gradients[name];
  }
  for (const auto& step : steps) {
    EXPECT_NEAR(step.result.loss, whole.result.loss, 2e-5);
    EXPECT_NEAR(step.result.figures.at("loss_crop"), whole.result.figures.at("loss_crop"), 1e-5);
  }
  expect_near_crop_gradients(sum, whole.gradients, "processes");
}

// teacher <- m teacher + (1 - m) student, positions on the grid of the crops.
TEST(CropDistillation, TheTeacherIsTheMovingAverageOfTheTower) {
  for (const double momentum : {0.75, 1.0}) {
    Cloc model = cropped_model();
    CropDistillationOptions options;
    options.momentum = momentum;
    CropTeacherImpl teacher(options, model->config());
    teacher.start(model);
    std::map<std::string, torch::Tensor> wanted;
    for (const auto& [name, weight] : teacher.beside())
      wanted[name] = weight.clone().to(torch::kDouble);
    // It begins as the model is at that size.
    Cloc small = with_image_size(model, 16);
    const auto of_small = small->named_parameters();
    int compared = 0;
    for (const auto& [name, weight] : teacher.beside()) {
      EXPECT_TRUE(torch::equal(weight, of_small[name.substr(13)])) << name;
      ++compared;
    }
    EXPECT_EQ(compared, static_cast<int>(model->visual->parameters().size()));
    for (int update = 0; update < 5; ++update) {
      const torch::NoGradGuard no_grad;
      for (auto& weight : model->visual->parameters()) weight.add_(torch::randn_like(weight));
      teacher.after_update(model);
      const auto now = with_image_size(model, 16)->named_parameters();
      for (auto& [name, value] : wanted)
        value = momentum * value + (1 - momentum) * now[name.substr(13)];
    }
    for (const auto& [name, weight] : teacher.beside())
      EXPECT_LT((weight - wanted[name]).abs().max().item<double>(), 1e-5) << name;
  }
}

TEST(CropDistillation, ASizeThatPatchesDoNotFillIsAnError) {
  const ModelConfig model = load_model_config("ViT-Test");
  CropDistillationOptions options;
  options.weight = 1;
  EXPECT_EQ(options.size_for(model), 16);
  EXPECT_NO_THROW(check_crop_distillation(model, options));
  options.size = 20;
  try {
    check_crop_distillation(model, options);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("crops of 20 px are no multiple of 8"));
    EXPECT_THAT(error.what(), HasSubstr("'crop_distill_size'"));
  }
  options.weight = 0;
  EXPECT_NO_THROW(check_crop_distillation(model, options));
}

class CroppedRun : public ::testing::Test {
 protected:
  CroppedRun() { fixtures::write_squares(folder_ / "a.tar", 20); }
  TrainConfig config(const std::string& out) {
    TrainConfig config = fixtures::tiny_config(folder_ / "a.tar", folder_ / out);
    config.crop_distillation.weight = kCropWeight;
    config.crop_distillation.boxes = 3;
    config.crop_distillation.momentum = 0.8;
    return config;
  }
  std::string beside(const std::string& out, int step) {
    return read_file(folder_ / out / "checkpoints" / ("step-" + std::to_string(step)) /
                     "beside.safetensors");
  }
  fixtures::TempFolder folder_;
};

TEST_F(CroppedRun, ResumesToTheSameEndAndLeavesNothingInTheModel) {
  auto options = config("run");
  options.keep_checkpoints = 0;
  options.accum_freq = 2;
  options.sample.mosaic = 0.3;
  train(options);
  const auto weights = fixtures::final_weights(folder_ / "run");
  const auto teacher = beside("run", 8);
  for (const Json& line : read_metrics(folder_ / "run/metrics.jsonl")) {
    EXPECT_GT(line.at("loss_crop").get<double>(), 0);
    EXPECT_TRUE(line.contains("constant_loss_crop"));
  }
  for (const int step : {4, 6, 8})
    fs::remove_all(folder_ / "run/checkpoints" / ("step-" + std::to_string(step)));
  fs::remove_all(folder_ / "run/model");
  train(options);
  EXPECT_EQ(fixtures::final_weights(folder_ / "run"), weights);
  EXPECT_EQ(beside("run", 8), teacher);
  options.out = folder_ / "workers";
  options.workers = 1;
  train(options);
  EXPECT_EQ(fixtures::final_weights(folder_ / "workers"), weights);

  auto plain = config("plain");
  plain.crop_distillation = {};
  train(plain);
  const SafetensorsFile heads(folder_ / "run/model/cloc_heads.safetensors"),
      wanted(folder_ / "plain/model/cloc_heads.safetensors");
  EXPECT_EQ(heads.tensors().size(), wanted.tensors().size());
  EXPECT_FALSE(fs::exists(folder_ / "plain/checkpoints/step-8/beside.safetensors"));
}

// On a frozen CLIP the teacher is that CLIP, whatever its momentum.
TEST_F(CroppedRun, AFrozenTeacherStays) {
  auto first = config("clip");
  first.objective = find_objective("clip");
  first.crop_distillation = {};
  train(first);
  auto options = config("frozen");
  options.init = (folder_ / "clip/model").string();
  options.crop_distillation.momentum = 1;
  train(options);
  EXPECT_EQ(beside("frozen", 8), beside("frozen", 6));
  auto locked = config("locked");
  locked.init = options.init;
  locked.lock.image = locked.lock.text = true;
  locked.crop_distillation.weight = 5;
  locked.steps = locked.save_every = 60;
  train(locked);
  // Any mean of two equal numbers, up to rounding.
  const SafetensorsFile now(folder_ / "locked/checkpoints/step-60/beside.safetensors"),
      then(folder_ / "frozen/checkpoints/step-8/beside.safetensors");
  for (const auto& tensor : then.tensors()) {
    const auto difference = now.tensor(tensor.name) - then.tensor(tensor.name);
    EXPECT_LT(difference.abs().max().item<double>(), 1e-5) << tensor.name;
  }
  // The region part learns what the frozen tower says of crops.
  const auto lines = read_metrics(folder_ / "locked/metrics.jsonl");
  const auto mean_from = [&](size_t begin) {
    double sum = 0;
    for (size_t i = begin; i < begin + 10; ++i) sum += lines[i]["loss_crop"].get<double>();
    return sum / 10;
  };
  EXPECT_LT(mean_from(50), 0.7 * mean_from(0));
}

TEST_F(CroppedRun, MeaninglessOptionsAreErrors) {
  const auto error_of = [&](const std::function<void(TrainConfig&)>& change) {
    auto options = config("wrong");
    change(options);
    return fixtures::error_of_run(options);
  };
  EXPECT_THAT(error_of([](auto& c) { c.crop_distillation.weight = -1; }),
              HasSubstr("'crop_distill_weight'"));
  EXPECT_THAT(error_of([](auto& c) { c.objective = find_objective("clip"); }),
              HasSubstr("no region is embedded that could be drawn to a crop"));
  EXPECT_THAT(error_of([](auto& c) { c.crop_distillation.boxes = 0; }),
              HasSubstr("'crop_distill_boxes'"));
  EXPECT_THAT(error_of([](auto& c) { c.crop_distillation.size = -8; }),
              HasSubstr("'crop_distill_size'"));
  EXPECT_THAT(error_of([](auto& c) { c.crop_distillation.size = 12; }),
              HasSubstr("no multiple of 8"));
  EXPECT_THAT(error_of([](auto& c) { c.crop_distillation.momentum = 1.5; }),
              HasSubstr("'crop_distill_momentum'"));
  EXPECT_THAT(error_of([](auto& c) { c.crop_distillation.momentum = 1; }),
              HasSubstr("a teacher that has learned nothing is frozen"));
}

}  // namespace
}  // namespace opencloc
