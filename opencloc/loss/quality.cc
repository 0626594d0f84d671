#include <torch/utils.h>

#include "opencloc/loss/loss.h"

namespace opencloc {

QualityLoss quality_loss(const torch::Tensor& logits, const torch::Tensor& iou) {
  TORCH_CHECK(logits.dim() == 1 && logits.sizes() == iou.sizes(),
              "quality loss: logits and IoUs [Q] expected");
  QualityLoss result;
  if (logits.size(0) == 0) {
    result.loss = logits.sum();  // 0, still part of the graph
    return result;
  }
  // -(t log s(x) + (1 - t) log(1 - s(x))) = log(1 + e^x) - t x.
  result.loss = (torch::softplus(logits) - iou * logits).mean();
  const torch::NoGradGuard no_grad;
  result.error = (torch::sigmoid(logits) - iou).abs().mean();
  result.constant_error = (iou.mean() - iou).abs().mean();
  return result;
}

}  // namespace opencloc
