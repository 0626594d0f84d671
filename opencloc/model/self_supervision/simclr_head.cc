#include "opencloc/model/self_supervision/simclr_head.h"

#include <memory>

namespace opencloc {
namespace {

constexpr double kBatchNormEpsilon = 1e-5;  // PyTorch's

torch::Tensor batch_norm(const torch::Tensor& x, const torch::Tensor& weight,
                         const torch::Tensor& bias) {
  const auto centred = x - x.mean(0);              // [B, H]
  const auto variance = centred.square().mean(0);  // [H]
  return centred * (variance + kBatchNormEpsilon).rsqrt() * weight + bias;
}

}  // namespace

SimclrHeadImpl::SimclrHeadImpl(const SimclrHeadConfig& config, int64_t in) {
  fc_1_ = register_module("fc_1", Linear(in, config.hidden));
  bn_1_ = make_norm("bn_1", config.hidden);
  fc_2_ = register_module("fc_2", Linear(config.hidden, config.hidden));
  bn_2_ = make_norm("bn_2", config.hidden);
  fc_3_ = register_module("fc_3", Linear(config.hidden, config.out));
}

SimclrHeadImpl::Norm SimclrHeadImpl::make_norm(const char* name, int64_t width) {
  auto module = register_module(name, std::make_shared<torch::nn::Module>(name));
  return {module->register_parameter("weight", torch::ones({width})),
          module->register_parameter("bias", torch::zeros({width}))};
}

torch::Tensor SimclrHeadImpl::forward(const torch::Tensor& rows) {
  auto x = batch_norm(fc_1_(rows).to(torch::kFloat32), bn_1_.weight, bn_1_.bias).relu();
  x = batch_norm(fc_2_(x).to(torch::kFloat32), bn_2_.weight, bn_2_.bias).relu();
  return fc_3_(x).to(torch::kFloat32);  // [B, out]
}

}  // namespace opencloc
