// The optimizer's arithmetic over a whole model at once: fused and threaded, the same result for
// any number of threads. The caller keeps parameters, gradients and state.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

namespace opencloc::ops {

// One parameter and its state; all of one shape, F32, contiguous, on one device.
// An undefined grad leaves the parameter and its state alone.
struct AdamWSlot {
  torch::Tensor value;        // changed in place
  torch::Tensor grad;         // read
  torch::Tensor exp_avg;      // m, changed in place; zeros before the first step
  torch::Tensor exp_avg_sq;   // v, changed in place; zeros before the first step
  double weight_decay = 0.0;  // decoupled: value *= 1 - lr * weight_decay
};

struct AdamWStep {
  int64_t step = 1;  // 1 at the first update: the bias correction's exponent
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double grad_scale = 1.0;  // gradients are multiplied by this as they are read (clipping)
  // The same as a scalar F64 where the tensors lie, in place of grad_scale where it is defined:
  // nobody waits for it. Where it is not finite, nothing changes.
  torch::Tensor late_grad_scale = {};
};

// One AdamW update of every slot, the maths of torch::optim::AdamW without amsgrad. On libtorch
// gradients may be changed: they are spent.
void adamw_step(const std::vector<AdamWSlot>& slots, const AdamWStep& step);

// Some rows of a table, each with a number of updates of its own: what is not named does not
// change, decay or age. F32, contiguous, on one device.
struct AdamWRows {
  torch::Tensor value, exp_avg, exp_avg_sq;  // [C, E], changed in place
  torch::Tensor steps;                       // [C] int64: updates so far, changed in place
  torch::Tensor rows;                        // [S] int64, distinct
  torch::Tensor grad;                        // [S, E]
  double weight_decay = 0.0;
};
// adamw_step() of those rows; of each the exponent of the bias correction is its own number of
// updates (AdamWStep::step is not read).
void adamw_step_rows(const AdamWRows& table, const AdamWStep& step);

// L2 norm over all elements of all defined tensors, summed in double. 0 for an empty list.
// Infinite or NaN elements give an infinite or NaN norm.
double grad_norm(const std::vector<torch::Tensor>& grads);

// The same as a scalar F64 where the tensors lie, which nobody waits for. Defined for an empty
// list.
torch::Tensor late_grad_norm(const std::vector<torch::Tensor>& grads);

// What late_grad_scale must be so that the clipped norm is at most max_norm (0: it is not clipped);
// not finite where the norm is not.
torch::Tensor late_clip_scale(const torch::Tensor& norm, double max_norm);

// What grad_scale must be so that the clipped norm is at most max_norm (> 0).
inline double clip_scale(double norm, double max_norm) {
  return norm > max_norm ? max_norm / (norm + 1e-6) : 1.0;
}

}  // namespace opencloc::ops
