// Crop distillation: the embedding of a region is drawn to what a teacher, an image tower, says of
// the region cut out and enlarged (Wu et al., "CLIPSelf", ICLR 2024; Jing et al., "FineCLIP",
// NeurIPS 2024). Regions need no labels for it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "opencloc/model/cloc/cloc.h"

namespace opencloc {

struct CropDistillationOptions {
  double weight = 0;        // of 1 - cosine, beside all other losses
  int64_t boxes = 4;        // per picture
  int64_t size = 0;         // pixels along a crop's side; 0: half of the model's, in whole patches
  double momentum = 0.994;  // of the teacher; 1: it stays what it began as

  bool on() const { return weight > 0; }
  int64_t size_for(const ModelConfig& model) const;
};

// Throws Error (input) for a size that the model's patches do not fill.
void check_crop_distillation(const ModelConfig& model, const CropDistillationOptions& options);

// The moving average of the image tower, for pictures of another size. It has no gradient, and no
// optimizer steps it.
class CropTeacherImpl : public torch::nn::Module {
 public:
  using Weights = std::vector<std::pair<std::string, torch::Tensor>>;

  CropTeacherImpl(const CropDistillationOptions& options, const ModelConfig& model);
  // It begins as the student.
  void start(const Cloc& model);
  // pixels [C, 3, S, S], normalised, or bytes [C, S, S, 3] -> [C, E], L2-normalised, without a
  // gradient. In the precision of `model`, whose pixels these are.
  torch::Tensor embed(const Cloc& model, const torch::Tensor& pixels);
  // After the optimizer's step.
  void after_update(const Cloc& model);
  // All that an exact resume needs.
  Weights beside() const;

 private:
  const double momentum_;
  VisionTower visual_{nullptr};
};
TORCH_MODULE(CropTeacher);

}  // namespace opencloc
