// AdamW with decoupled weight decay over named parameters, and gradient clipping by global norm.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/ops/optimizer_step.h"

namespace opencloc {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.98;
  double epsilon = 1e-6;
  double weight_decay = 0.2;
  double max_grad_norm = 1.0;  // 0 = no clipping
  // Learning rate of the text tower beside the rest. Below 1 the untrained texts stay apart while
  // the image side learns to tell them (docs/decisions/slow_text.md).
  double text_lr_scale = 1.0;
  // The same of a multimodal language model's image tower (of_vision_tower()).
  double vision_lr_scale = 1.0;
};

// Weight decay is for matrices; not for gains, biases, temperatures and the embeddings of
// positions, class and prompt kinds (spec/cloc.md section 4).
bool decays(std::string_view name, const torch::Tensor& parameter);

// Is this parameter (by its name on disk) one of the text tower's?
bool of_text_tower(std::string_view name);
// Of a multimodal language model (mllm/trainer.cc).
inline constexpr std::string_view kVisionPrefix = "vision.";
bool of_vision_tower(std::string_view name);

// Elements [begin, end) of a flattened parameter.
struct ParameterPiece {
  size_t parameter = 0;  // its number in the list
  int64_t begin = 0;
  int64_t end = 0;
};

class AdamW {
 public:
  // `parameters` are leaves that require grad; their names are the names of the saved moments.
  AdamW(const NamedTensors& parameters, const AdamWOptions& options);
  // Steps, and has moments of, only these pieces (of contiguous parameters).
  AdamW(const NamedTensors& parameters, const AdamWOptions& options,
        std::vector<ParameterPiece> pieces);

  // Global L2 norm of all gradients; not finite when any gradient is not.
  double grad_norm() const;
  // One update at learning rate `lr`. `norm` is grad_norm(): gradients are scaled by
  // max_grad_norm / norm where that is below 1. Parameters without a gradient stay as they are.
  void step(double lr, double norm);
  // The same without waiting for the device: `norm` is late_grad_norm(). Where it is not finite,
  // the parameters and moments stay as they are.
  torch::Tensor late_grad_norm() const;  // scalar F64
  void late_step(double lr, const torch::Tensor& norm);
  void zero_grad();

  int64_t steps() const { return steps_; }
  // "m.NAME" and "v.NAME", sharing storage with the optimizer. Only for whole parameters.
  NamedTensors moments() const;
  // Of the pieces, each flat: the first and the second moments.
  std::vector<torch::Tensor> first_moments() const;
  std::vector<torch::Tensor> second_moments() const;
  // Copies saved moments in. Throws Error (input) naming `where` and the tensor that is missing or
  // has another shape.
  void load(const NamedTensors& moments, int64_t steps, std::string_view where);

 private:
  void step(double lr, ops::AdamWStep how);
  std::vector<torch::Tensor> gradients() const;
  // The slots with the parameters' current gradients.
  std::vector<ops::AdamWSlot> slots_with_grads() const;

  AdamWOptions options_;
  std::vector<std::string> names_;         // of the parameters
  std::vector<torch::Tensor> parameters_;  // as many
  std::vector<ParameterPiece> pieces_;
  std::vector<ops::AdamWSlot> slots_;  // a piece each: value and gradient are set at each step
  int64_t steps_ = 0;
};

}  // namespace opencloc
