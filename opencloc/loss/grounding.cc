#include <torch/utils.h>

#include "opencloc/loss/loss.h"

namespace opencloc {

namespace {

using torch::Tensor;

// DETR's weights (arXiv 2005.12872) of the two parts of kL1Giou.
constexpr double kL1Weight = 5;
constexpr double kGiouWeight = 2;
// Below any area a picture can hold; keeps the quotients of two empty boxes finite.
constexpr double kTinyArea = 1e-9;

// width * height, 0 for inverted boxes. low, high [R, 2] -> [R].
// Not prod(1): its backward pass reads values back from a device.
Tensor area(const Tensor& low, const Tensor& high) {
  const auto sides = (high - low).clamp_min(0);
  return sides.select(1, 0) * sides.select(1, 1);
}

struct Overlap {
  Tensor iou;   // [R]
  Tensor giou;  // [R], in [-1, 1]
};

// predicted, target [R, 4]. An inverted box has area 0 and overlaps nothing (GIoU <= 0), but its
// corners still span the hull, so that GIoU never rewards turning a box inside out.
Overlap overlap(const Tensor& predicted, const Tensor& target) {
  const auto low = predicted.slice(1, 0, 2), high = predicted.slice(1, 2, 4);          // [R, 2]
  const auto target_low = target.slice(1, 0, 2), target_high = target.slice(1, 2, 4);  // [R, 2]
  const auto shared = area(torch::maximum(low, target_low), torch::minimum(high, target_high));
  const auto whole = area(low, high) + area(target_low, target_high) - shared;
  const auto hull = area(torch::minimum(torch::minimum(low, high), target_low),
                         torch::maximum(torch::maximum(low, high), target_high));
  const auto iou = shared / whole.clamp_min(kTinyArea);
  return {.iou = iou, .giou = iou - (hull - whole) / hull.clamp_min(kTinyArea)};
}

// -> [R]
Tensor l1_giou(const Tensor& predicted, const Tensor& target) {
  const auto distance = (predicted - target).abs().sum(1);  // [R]
  const auto giou = overlap(predicted, target).giou;        // [R]
  return kL1Weight * distance + kGiouWeight * (1 - giou);
}

}  // namespace

GroundingLoss grounding_loss(const Tensor& predicted, const Tensor& target, GroundingKind kind,
                             const Tensor& weight) {
  TORCH_CHECK(predicted.dim() == 2 && predicted.size(1) == 4 && predicted.sizes() == target.sizes(),
              "grounding loss: boxes [R, 4] expected");
  GroundingLoss result;
  if (predicted.size(0) == 0) {
    result.loss = predicted.sum();  // 0, still part of the graph
    return result;
  }
  if (!weight.defined()) {
    result.loss = kind == GroundingKind::kL2 ? (predicted - target).square().mean()
                                             : l1_giou(predicted, target).mean();
  } else {
    const auto of_regions = kind == GroundingKind::kL2 ? (predicted - target).square().mean(1)
                                                       : l1_giou(predicted, target);  // [R]
    result.loss = (weight * of_regions).mean();
  }
  const torch::NoGradGuard no_grad;
  const auto inverted = predicted.slice(1, 2, 4).le(predicted.slice(1, 0, 2)).any(1);  // [R]
  result.mean_iou = overlap(predicted, target).iou.mean();
  result.inverted_share = inverted.to(torch::kFloat).mean();
  result.predicted_spread = predicted.std(0, /*unbiased=*/false).mean();
  return result;
}

}  // namespace opencloc
