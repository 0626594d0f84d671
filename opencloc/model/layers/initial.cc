#include "opencloc/model/layers/initial.h"

#include <torch/nn/init.h>
#include <torch/utils.h>

namespace opencloc::initial {
namespace {

thread_local bool from_files = false;

void fill_zero(torch::Tensor& weight) {
  const torch::NoGradGuard no_grad;
  weight.zero_();
}

}  // namespace

FromFiles::FromFiles() : before_(from_files) { from_files = true; }
FromFiles::~FromFiles() { from_files = before_; }

bool drawn() { return !from_files; }

torch::Tensor normal(torch::IntArrayRef shape, double deviation) {
  return drawn() ? torch::randn(shape) * deviation : torch::zeros(shape);
}

void fill_normal(torch::Tensor weight, double deviation) {
  if (!drawn()) return fill_zero(weight);
  torch::nn::init::normal_(weight, 0, deviation);
}

void fill_xavier(torch::Tensor weight) {
  if (!drawn()) return fill_zero(weight);
  torch::nn::init::xavier_uniform_(weight);
}

}  // namespace opencloc::initial
