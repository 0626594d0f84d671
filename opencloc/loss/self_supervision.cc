#include <cmath>

#include <torch/utils.h>

#include "opencloc/loss/info_nce.h"
#include "opencloc/loss/loss.h"
#include "opencloc/loss/pair_filter.h"

namespace opencloc {

torch::Tensor normalized_patches(const torch::Tensor& patches) {
  constexpr double kPatchEpsilon = 1e-6;                                       // MAE's
  const auto variance = patches.var(-1, /*unbiased=*/true, /*keepdim=*/true);  // [B, N, 1]
  return (patches - patches.mean(-1, /*keepdim=*/true)) / (variance + kPatchEpsilon).sqrt();
}

torch::Tensor masked_patch_loss(const MaskedPatches& input) {
  auto target = input.patches.detach();
  if (!target.is_floating_point() || target.scalar_type() == torch::kBFloat16)
    target = target.to(torch::kFloat32);
  if (input.normalize) target = normalized_patches(target);
  const auto error = (input.predicted.to(target.scalar_type()) - target).square().mean(-1);
  return (error * input.scored.to(target.scalar_type())).sum();  // [B, N] -> scalar
}

torch::Tensor simclr_loss(const torch::Tensor& first, const torch::Tensor& second,
                          double temperature) {
  if (first.size(0) == 0) return 0 * first.sum();
  // InfoNCE of 2 B rows with the other view of each. The number of its picture keeps a view from
  // being its own negative: the rows of one picture are the two views, and one of them is the pair.
  const auto unit = [](const torch::Tensor& x) {
    return x / x.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12);
  };
  const auto a = unit(first), b = unit(second);  // [B, O]
  const auto views = torch::cat({a, b}), others = torch::cat({b, a});
  PairFilter own;
  own.text_id = torch::arange(first.size(0), first.options().dtype(torch::kInt64)).repeat({2});
  const auto scale = torch::full({}, -std::log(temperature), a.options());
  return symmetric_info_nce(views, others, scale, own, {}, others.detach()).loss;
}

torch::Tensor teacher_distribution(const torch::Tensor& logits, const torch::Tensor& centre,
                                   double temperature) {
  return ((logits.detach() - centre.detach()) / temperature).softmax(-1);  // [n, K]
}

torch::Tensor distillation_loss(const torch::Tensor& logits, const torch::Tensor& teacher,
                                double temperature) {
  return -(teacher.detach() * (logits / temperature).log_softmax(-1)).sum();
}

torch::Tensor entropy(const torch::Tensor& distributions) {
  return -(distributions * distributions.clamp_min(1e-30).log()).sum(-1);
}

}  // namespace opencloc
