#include "opencloc/ops/optimizer_step.h"

#include <algorithm>
#include <cmath>

#include <torch/utils.h>

#include "opencloc/kernels/parallel.h"
#include "opencloc/kernels/pointwise/optimizer.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/packed_weights.h"

namespace opencloc::ops {
namespace {

constexpr int64_t kChunk = 1 << 16;  // elements handled at once: fixed, so that sums are too

// Part of one tensor.
struct Chunk {
  size_t tensor;
  int64_t begin, count;
};
void append_chunks(size_t tensor, int64_t count, std::vector<Chunk>& chunks) {
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    chunks.push_back({tensor, begin, std::min(kChunk, count - begin)});
  }
}

kernels::AdamWCoefficients coefficients(const AdamWStep& s, double weight_decay) {
  const auto power = static_cast<double>(s.step);
  return {
      .beta1 = static_cast<float>(s.beta1),
      .keep1 = static_cast<float>(1.0 - s.beta1),
      .beta2 = static_cast<float>(s.beta2),
      .keep2 = static_cast<float>(1.0 - s.beta2),
      .epsilon = static_cast<float>(s.epsilon),
      .decay = static_cast<float>(1.0 - s.lr * weight_decay),
      .step_size = static_cast<float>(s.lr / (1.0 - std::pow(s.beta1, power))),
      .inv_sqrt_correction2 = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(s.beta2, power))),
      .grad_scale = static_cast<float>(s.grad_scale)};
}

// The same maths where our kernels do not run.
void adamw_on_torch(const AdamWSlot& slot, const AdamWStep& s) {
  const auto power = static_cast<double>(s.step);
  auto value = slot.value, m = slot.exp_avg, v = slot.exp_avg_sq;
  const auto grad = slot.grad * s.grad_scale;
  value.mul_(1.0 - s.lr * slot.weight_decay);
  m.mul_(s.beta1).add_(grad, 1.0 - s.beta1);
  v.mul_(s.beta2).addcmul_(grad, grad, 1.0 - s.beta2);
  const auto denominator = v.sqrt().div_(std::sqrt(1.0 - std::pow(s.beta2, power))).add_(s.epsilon);
  value.addcdiv_(m, denominator, -s.lr / (1.0 - std::pow(s.beta1, power)));
}

}  // namespace

void adamw_step(const std::vector<AdamWSlot>& slots, const AdamWStep& step) {
  torch::NoGradGuard no_grad;
  struct Pointers {
    float *value, *m, *v;
    torch::Tensor grad;
    kernels::AdamWCoefficients c;
  };
  std::vector<Pointers> tensors;
  std::vector<Chunk> chunks;
  for (const AdamWSlot& slot : slots) {
    if (!slot.grad.defined()) continue;
    TORCH_CHECK(
        slot.grad.sizes() == slot.value.sizes() && slot.exp_avg.sizes() == slot.value.sizes() &&
            slot.exp_avg_sq.sizes() == slot.value.sizes(),
        "adamw_step: value ", slot.value.sizes(), " and its grad and state differ in shape");
    if (!runs_on_kernels({slot.value, slot.grad, slot.exp_avg, slot.exp_avg_sq})) {
      adamw_on_torch(slot, step);
      continue;
    }
    TORCH_CHECK(slot.value.is_contiguous() && slot.exp_avg.is_contiguous() &&
                    slot.exp_avg_sq.is_contiguous(),
                "adamw_step: parameter and state must be contiguous");
    append_chunks(tensors.size(), slot.value.numel(), chunks);
    tensors.push_back({slot.value.data_ptr<float>(), slot.exp_avg.data_ptr<float>(),
                       slot.exp_avg_sq.data_ptr<float>(), slot.grad.contiguous(),
                       coefficients(step, slot.weight_decay)});
  }
  kernels::parallel_items(static_cast<int64_t>(chunks.size()), [&](int64_t i) {
    const Chunk& at = chunks[static_cast<size_t>(i)];
    const Pointers& p = tensors[at.tensor];
    kernels::adamw(at.count, p.value + at.begin, p.grad.data_ptr<float>() + at.begin,
                   p.m + at.begin, p.v + at.begin, p.c);
  });
  // Written behind autograd's back: tell it, as an in-place op would.
  for (const AdamWSlot& slot : slots) {
    if (slot.grad.defined()) slot.value.unsafeGetTensorImpl()->bump_version();
  }
  drop_stale_packed_weights();
}

double grad_norm(const std::vector<torch::Tensor>& grads) {
  torch::NoGradGuard no_grad;
  double total = 0;
  std::vector<torch::Tensor> dense;
  std::vector<Chunk> chunks;
  for (const auto& grad : grads) {
    if (!grad.defined()) continue;
    if (!runs_on_kernels({grad})) {
      total += grad.to(torch::kDouble).square().sum().item<double>();
      continue;
    }
    append_chunks(dense.size(), grad.numel(), chunks);
    dense.push_back(grad.contiguous());
  }
  std::vector<double> sums(chunks.size());
  kernels::parallel_items(static_cast<int64_t>(chunks.size()), [&](int64_t i) {
    const Chunk& at = chunks[static_cast<size_t>(i)];
    sums[static_cast<size_t>(i)] =
        kernels::sum_of_squares(at.count, dense[at.tensor].data_ptr<float>() + at.begin);
  });
  for (const double sum : sums) total += sum;
  return std::sqrt(total);
}

}  // namespace opencloc::ops
