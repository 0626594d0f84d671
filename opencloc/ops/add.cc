#include "opencloc/kernels/pointwise/add.h"

#include <torch/autograd.h>

#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/ops.h"

namespace opencloc::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

torch::Tensor sum_of(const torch::Tensor& a, const torch::Tensor& b) {
  auto sum = torch::empty_like(a);
  kernels::add(a.numel(), a.data_ptr<float>(), b.data_ptr<float>(), sum.data_ptr<float>());
  return sum;
}

struct AddFunction : torch::autograd::Function<AddFunction> {
  static torch::Tensor forward(AutogradContext*, const torch::Tensor& a, const torch::Tensor& b) {
    return sum_of(a, b);
  }
  static variable_list backward(AutogradContext*, const variable_list& grads) {
    return {grads[0], grads[0]};
  }
};

}  // namespace

torch::Tensor add(const torch::Tensor& a, const torch::Tensor& b) {
  if (!runs_on_kernels({a, b}) || a.sizes() != b.sizes() || !a.is_contiguous() ||
      !b.is_contiguous()) {
    return a + b;
  }
  return gradients_wanted({a, b}) ? AddFunction::apply(a, b) : sum_of(a, b);
}

}  // namespace opencloc::ops
