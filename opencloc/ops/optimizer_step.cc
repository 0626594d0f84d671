#include "opencloc/ops/optimizer_step.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <torch/utils.h>

#include "opencloc/kernels/parallel.h"
#include "opencloc/kernels/pointwise/optimizer.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/packed_weights.h"
#include "opencloc/ops/torch_compat.h"

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

kernels::AdamWCoefficients coefficients(const AdamWStep& s, double grad_scale,
                                        double weight_decay) {
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
      .grad_scale = static_cast<float>(grad_scale)};
}

// The scale as a tensor beside `like`, whichever way it was given.
torch::Tensor scale_beside(const torch::Tensor& like, const AdamWStep& s) {
  if (s.late_grad_scale.defined()) return s.late_grad_scale;
  return torch::full({}, s.grad_scale, like.options().dtype(torch::kDouble));
}

// The same maths where our kernels do not run, for any device and type. What is not to change is
// written with itself.
void adamw_on_torch(const AdamWSlot& slot, const AdamWStep& s, const torch::Tensor& scale,
                    const torch::Tensor& changes) {
  const auto power = static_cast<double>(s.step);
  auto value = slot.value, m = slot.exp_avg, v = slot.exp_avg_sq;
  const auto grad = slot.grad * scale.to(slot.grad.scalar_type());  // also of 0 dimensions
  const auto next_m = m * s.beta1 + grad * (1.0 - s.beta1);
  const auto next_v = v * s.beta2 + grad * grad * (1.0 - s.beta2);
  const auto denominator =
      next_v.sqrt().div_(std::sqrt(1.0 - std::pow(s.beta2, power))).add_(s.epsilon);
  const auto next = (value * (1.0 - s.lr * slot.weight_decay))
                        .addcdiv_(next_m, denominator, -s.lr / (1.0 - std::pow(s.beta1, power)));
  value.copy_(torch::where(changes, next, value));
  m.copy_(torch::where(changes, next_m, m));
  v.copy_(torch::where(changes, next_v, v));
}

// F32 on one device; all of one weight decay go together.
void adamw_on_torch(const std::vector<AdamWSlot>& slots, const AdamWStep& s) {
  if (slots.empty()) return;
  const auto& first = slots.front().value;
  const auto scale = scale_beside(first, s);
  const auto changes = scale.isfinite();
  if (!has_fused_adamw(first.device())) {
    for (const auto& slot : slots) adamw_on_torch(slot, s, scale, changes);
    return;
  }
  std::map<double, FusedAdamW> calls;  // by weight decay
  const auto steps =
      torch::full({}, static_cast<double>(s.step), first.options().dtype(torch::kFloat));
  for (const auto& slot : slots) {
    auto& call = calls[slot.weight_decay];
    call.values.push_back(slot.value);
    call.grads.push_back(slot.grad.contiguous());
    call.exp_avgs.push_back(slot.exp_avg);
    call.exp_avg_sqs.push_back(slot.exp_avg_sq);
    call.steps.push_back(steps);
  }
  for (auto& [weight_decay, call] : calls) {
    call.lr = s.lr;
    call.beta1 = s.beta1;
    call.beta2 = s.beta2;
    call.weight_decay = weight_decay;
    call.epsilon = s.epsilon;
    call.grad_divisor = scale.reciprocal().to(torch::kFloat);
    call.skip = changes.logical_not().to(torch::kFloat);
    fused_adamw(call);
  }
}

double read_scale(const AdamWStep& s) {
  return s.late_grad_scale.defined() ? s.late_grad_scale.item<double>() : s.grad_scale;
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
  std::vector<AdamWSlot> on_torch;
  double grad_scale = 1;
  bool changes = true;
  for (const AdamWSlot& slot : slots) {
    if (!slot.grad.defined()) continue;
    TORCH_CHECK(
        slot.grad.sizes() == slot.value.sizes() && slot.exp_avg.sizes() == slot.value.sizes() &&
            slot.exp_avg_sq.sizes() == slot.value.sizes(),
        "adamw_step: value ", slot.value.sizes(), " and its grad and state differ in shape");
    if (!runs_on_kernels({slot.value, slot.grad, slot.exp_avg, slot.exp_avg_sq})) {
      on_torch.push_back(slot);
      continue;
    }
    if (tensors.empty()) {
      grad_scale = read_scale(step);
      changes = std::isfinite(grad_scale);
    }
    TORCH_CHECK(slot.value.is_contiguous() && slot.exp_avg.is_contiguous() &&
                    slot.exp_avg_sq.is_contiguous(),
                "adamw_step: parameter and state must be contiguous");
    append_chunks(tensors.size(), slot.value.numel(), chunks);
    tensors.push_back({slot.value.data_ptr<float>(), slot.exp_avg.data_ptr<float>(),
                       slot.exp_avg_sq.data_ptr<float>(), slot.grad.contiguous(),
                       coefficients(step, grad_scale, slot.weight_decay)});
  }
  adamw_on_torch(on_torch, step);
  if (!changes) chunks.clear();
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

namespace {

void adamw_rows_on_torch(const AdamWRows& table, const AdamWStep& s) {
  const auto scale = scale_beside(table.value, s);
  const auto changes = scale.isfinite();
  const auto of = [&](const torch::Tensor& t) { return t.index_select(0, table.rows); };
  const auto value = of(table.value), m = of(table.exp_avg), v = of(table.exp_avg_sq);  // [S, E]
  const auto steps = of(table.steps), next_steps = steps + 1;                           // [S]
  const auto power = next_steps.to(torch::kDouble);
  const auto correction = [&](double beta) {  // [S, 1]
    return (1 - torch::pow(beta, power)).unsqueeze(1);
  };
  const auto grad = table.grad * scale.to(table.grad.scalar_type());
  const auto next_m = m * s.beta1 + grad * (1.0 - s.beta1);
  const auto next_v = v * s.beta2 + grad * grad * (1.0 - s.beta2);
  const auto denominator =
      next_v.sqrt() / correction(s.beta2).sqrt().to(value.scalar_type()) + s.epsilon;
  const auto size = (s.lr / correction(s.beta1)).to(value.scalar_type());
  const auto next = value * (1.0 - s.lr * table.weight_decay) - size * next_m / denominator;
  const auto put = [&](torch::Tensor to, const torch::Tensor& changed, const torch::Tensor& old) {
    to.index_copy_(0, table.rows, torch::where(changes, changed, old));
  };
  put(table.value, next, value);
  put(table.exp_avg, next_m, m);
  put(table.exp_avg_sq, next_v, v);
  put(table.steps, next_steps, steps);
}

}  // namespace

void adamw_step_rows(const AdamWRows& table, const AdamWStep& step) {
  const torch::NoGradGuard no_grad;
  const int64_t count = table.rows.numel(), width = table.value.size(1);
  TORCH_CHECK(table.grad.dim() == 2 && table.grad.size(0) == count && table.grad.size(1) == width &&
                  table.steps.numel() == table.value.size(0) &&
                  table.exp_avg.sizes() == table.value.sizes() &&
                  table.exp_avg_sq.sizes() == table.value.sizes(),
              "adamw_step_rows: a table ", table.value.sizes(), ", gradients ", table.grad.sizes(),
              " of ", count, " rows");
  if (!runs_on_kernels({table.value, table.grad, table.exp_avg, table.exp_avg_sq}))
    return adamw_rows_on_torch(table, step);
  TORCH_CHECK(table.value.is_contiguous() && table.exp_avg.is_contiguous() &&
                  table.exp_avg_sq.is_contiguous() && table.steps.is_contiguous(),
              "adamw_step_rows: table and state must be contiguous");
  const double grad_scale = read_scale(step);
  if (!std::isfinite(grad_scale)) return;
  const auto grad = table.grad.contiguous(), rows = table.rows.contiguous();
  const auto* row_of = rows.data_ptr<int64_t>();
  auto* steps = table.steps.data_ptr<int64_t>();
  auto *value = table.value.data_ptr<float>(), *m = table.exp_avg.data_ptr<float>(),
       *v = table.exp_avg_sq.data_ptr<float>();
  const int64_t grain = std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, width));
  kernels::parallel_ranges(count, grain, [&](int64_t begin, int64_t end) {
    AdamWStep own = step;
    for (int64_t i = begin; i < end; ++i) {
      own.step = ++steps[row_of[i]];
      const int64_t at = row_of[i] * width;
      kernels::adamw(width, value + at, grad.data_ptr<float>() + i * width, m + at, v + at,
                     coefficients(own, grad_scale, table.weight_decay));
    }
  });
  table.value.unsafeGetTensorImpl()->bump_version();
}

double grad_norm(const std::vector<torch::Tensor>& grads) {
  torch::NoGradGuard no_grad;
  double total = 0;
  std::vector<torch::Tensor> dense;
  std::vector<Chunk> chunks;
  for (const auto& grad : grads) {
    if (!grad.defined()) continue;
    if (!runs_on_kernels({grad})) {
      const double norm = late_grad_norm({grad}).item<double>();
      total += norm * norm;
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

torch::Tensor late_grad_norm(const std::vector<torch::Tensor>& grads) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> there;
  for (const auto& grad : grads)
    if (grad.defined() && grad.numel() > 0) there.push_back(grad);
  if (there.empty()) return torch::zeros({}, torch::kDouble);
  if (runs_on_kernels(c10::ArrayRef<torch::Tensor>(there)))
    return torch::scalar_tensor(grad_norm(there), torch::kDouble);
  return torch::stack(at::_foreach_norm(there, 2)).to(torch::kDouble).norm();
}

torch::Tensor late_clip_scale(const torch::Tensor& norm, double max_norm) {
  const auto clipped =
      max_norm > 0 ? torch::where(norm > max_norm, max_norm / (norm + 1e-6), torch::ones_like(norm))
                   : torch::ones_like(norm);
  return torch::where(norm.isfinite(), clipped, norm);
}

}  // namespace opencloc::ops
