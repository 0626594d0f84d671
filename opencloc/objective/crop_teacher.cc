#include "opencloc/objective/crop_teacher.h"

#include <algorithm>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/model/layers/initial.h"
#include "opencloc/objective/moving_average.h"
#include "opencloc/ops/precision.h"

namespace opencloc {
namespace {

ModelConfig with_crop_size(ModelConfig model, const CropDistillationOptions& options) {
  model.vision.image_size = options.size_for(model);
  return model;
}

}  // namespace

int64_t CropDistillationOptions::size_for(const ModelConfig& model) const {
  const int64_t patch = model.vision.patch_size;
  return size > 0 ? size : std::max<int64_t>(1, model.vision.grid() / 2) * patch;
}

void check_crop_distillation(const ModelConfig& model, const CropDistillationOptions& options) {
  if (!options.on()) return;
  const int64_t patch = model.vision.patch_size;
  if (options.size_for(model) % patch != 0) {
    throw Error::input("crops of " + std::to_string(options.size) + " px are no multiple of " +
                           std::to_string(patch),
                       "setting 'crop_distill_size'", "give a multiple of the model's patch size");
  }
  with_crop_size(model, options).validate("setting 'crop_distill_size'");
}

CropTeacherImpl::CropTeacherImpl(const CropDistillationOptions& options, const ModelConfig& model)
    : momentum_(options.momentum) {
  const initial::FromFiles not_drawn;
  visual_ = register_module("visual", VisionTower(with_crop_size(model, options)));
  for (auto& weight : parameters()) weight.requires_grad_(false);
}

void CropTeacherImpl::start(const Cloc& model) { follow(*model->visual, *visual_, 0); }

torch::Tensor CropTeacherImpl::embed(const Cloc& model, const torch::Tensor& pixels) {
  const torch::NoGradGuard no_grad;
  const ComputeScope scope(model->precision(), model->backend());
  const auto embedding = visual_(model->normalized_pixels(pixels)).embedding;  // [C, E]
  return normalized(embedding.to(torch::kFloat32));
}

void CropTeacherImpl::after_update(const Cloc& model) {
  if (momentum_ < 1) follow(*model->visual, *visual_, momentum_);
}

CropTeacherImpl::Weights CropTeacherImpl::beside() const {
  Weights weights;
  for (const auto& item : named_parameters())
    weights.emplace_back("crop_teacher." + item.key(), item.value());
  return weights;
}

}  // namespace opencloc
