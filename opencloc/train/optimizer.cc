#include "opencloc/train/optimizer.h"

#include <unordered_map>

#include "opencloc/base/error.h"

namespace opencloc {

bool decays(std::string_view name, const torch::Tensor& parameter) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (parameter.dim() < 2 || has("bias") || has("logit_scale")) return false;
  return !has("positional_embedding") && !has("class_embedding") && !has("type_embedding") &&
         !has("type_embed");
}

AdamW::AdamW(NamedTensors parameters, const AdamWOptions& options) : options_(options) {
  for (auto& [name, parameter] : parameters) {
    const double decay = decays(name, parameter) ? options.weight_decay : 0.0;
    slots_.push_back({name, parameter, torch::zeros_like(parameter).detach(),
                      torch::zeros_like(parameter).detach(), decay});
  }
}

double AdamW::grad_norm() const {
  double sum = 0;
  for (const Slot& slot : slots_) {
    const auto& grad = slot.parameter.grad();
    if (grad.defined()) sum += grad.square().sum(torch::kDouble).item<double>();
  }
  return std::sqrt(sum);
}

void AdamW::step(double lr, double norm) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  const double max_norm = options_.max_grad_norm;
  const double scale = max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0;
  const double correction1 = 1.0 - std::pow(options_.beta1, static_cast<double>(steps_));
  const double correction2 = 1.0 - std::pow(options_.beta2, static_cast<double>(steps_));
  for (Slot& slot : slots_) {
    if (!slot.parameter.grad().defined()) continue;
    const auto grad = slot.parameter.grad() * scale;
    slot.parameter.mul_(1.0 - lr * slot.weight_decay);
    slot.m.mul_(options_.beta1).add_(grad, 1.0 - options_.beta1);
    slot.v.mul_(options_.beta2).addcmul_(grad, grad, 1.0 - options_.beta2);
    const auto denominator = (slot.v / correction2).sqrt_().add_(options_.epsilon);
    slot.parameter.addcdiv_(slot.m, denominator, -lr / correction1);
  }
}

void AdamW::zero_grad() {
  for (Slot& slot : slots_) slot.parameter.mutable_grad().reset();
}

NamedTensors AdamW::moments() const {
  NamedTensors all;
  for (const Slot& slot : slots_) {
    all.emplace_back("m." + slot.name, slot.m);
    all.emplace_back("v." + slot.name, slot.v);
  }
  return all;
}

void AdamW::load(const NamedTensors& saved, int64_t steps, std::string_view where) {
  const torch::NoGradGuard no_grad;
  const std::unordered_map<std::string, torch::Tensor> by_name(saved.begin(), saved.end());
  for (auto& [name, tensor] : moments()) {
    const auto it = by_name.find(name);
    if (it == by_name.end() || it->second.sizes() != tensor.sizes()) {
      throw Error::input("optimizer state '" + name + "' is missing or has another shape", where,
                         "resume with the model it was saved from");
    }
    tensor.copy_(it->second);
  }
  steps_ = steps;
}

}  // namespace opencloc
