// In what precision an attention op multiplies: as at its forward pass, in the backward pass too.
// Private to opencloc/ops.
#pragma once

#include <torch/autograd.h>
#include <torch/types.h>

#include "opencloc/kernels/attention/attention.h"
#include "opencloc/ops/precision.h"

namespace opencloc::ops {

inline kernels::AttentionProducts products_now() {
  return matmul_precision() == Precision::kBf16 ? kernels::AttentionProducts::kBf16
                                                : kernels::AttentionProducts::kFp32;
}
inline void save_products(torch::autograd::AutogradContext* ctx) {
  ctx->saved_data["products"] = static_cast<int64_t>(products_now());
}
inline kernels::AttentionProducts saved_products(torch::autograd::AutogradContext* ctx) {
  return static_cast<kernels::AttentionProducts>(ctx->saved_data["products"].toInt());
}

}  // namespace opencloc::ops
