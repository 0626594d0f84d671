#include "opencloc/model/mllm/projector.h"

#include "opencloc/ops/ops.h"

namespace opencloc {

ProjectorImpl::ProjectorImpl(int64_t token_width, int64_t width) {
  linear_1_ = register_module("linear_1", Linear(token_width, width));
  linear_2_ = register_module("linear_2", Linear(width, width));
}

torch::Tensor ProjectorImpl::forward(const torch::Tensor& tokens) {
  return ops::mlp(tokens, {linear_1_->weight, linear_1_->bias, linear_2_->weight, linear_2_->bias,
                           ops::Gelu::kErf});
}

}  // namespace opencloc
