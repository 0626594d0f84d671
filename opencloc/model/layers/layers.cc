#include "opencloc/model/layers/layers.h"

#include "opencloc/model/layers/initial.h"

namespace opencloc {

LinearImpl::LinearImpl(int64_t in, int64_t out) {
  weight = register_parameter("weight", torch::empty({out, in}));
  bias = register_parameter("bias", torch::zeros({out}));
  initial::fill_xavier(weight);
}

LayerNormImpl::LayerNormImpl(int64_t width, double epsilon) : epsilon_(epsilon) {
  weight = register_parameter("weight", torch::ones({width}));
  bias = register_parameter("bias", torch::zeros({width}));
}

}  // namespace opencloc
