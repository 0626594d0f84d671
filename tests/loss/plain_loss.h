// The losses as one writes them down: the whole similarity matrix, autograd for the gradients.
#pragma once

#include <cmath>
#include <limits>

#include <torch/types.h>

namespace opencloc::plain {

// Mean over all pairs of both directions' cross-entropy; `excluded` [n, n] bool or undefined.
inline torch::Tensor info_nce(const torch::Tensor& a, const torch::Tensor& b,
                              const torch::Tensor& logit_scale, const torch::Tensor& excluded) {
  auto s = logit_scale.exp().clamp_max(100) * a.matmul(b.t());  // [n, n]
  if (excluded.defined()) {
    s = s.masked_fill(excluded, -std::numeric_limits<double>::infinity());
  }
  const auto per_pair = torch::logsumexp(s, 1) + torch::logsumexp(s, 0) - 2 * s.diagonal();
  return per_pair.mean() / 2;
}

// The pairs L_CLOC leaves out. texts [n, E], text_id [n]; threshold 2 = identical texts only.
inline torch::Tensor excluded_pairs(const torch::Tensor& texts, const torch::Tensor& text_id,
                                    double threshold) {
  const auto same = text_id.unsqueeze(1) == text_id.unsqueeze(0);
  const auto close = texts.detach().matmul(texts.detach().t()) > threshold;
  return (same | close) & ~torch::eye(text_id.size(0), torch::kBool);
}

}  // namespace opencloc::plain
