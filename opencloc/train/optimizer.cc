#include "opencloc/train/optimizer.h"

#include <unordered_map>

#include <torch/utils.h>

#include "opencloc/base/error.h"

namespace opencloc {

bool decays(std::string_view name, const torch::Tensor& parameter) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (parameter.dim() < 2 || has("bias") || has("logit_scale")) return false;
  return !has("positional_embedding") && !has("class_embedding") && !has("type_embedding") &&
         !has("type_embed") && !has("probe") && !has("attn_pool.query");
}

// The names on disk: open_clip's text tower has no prefix of its own.
bool of_text_tower(std::string_view name) {
  return name.starts_with("transformer.") || name.starts_with("token_embedding.") ||
         name.starts_with("ln_final.") || name == "positional_embedding" || name == "cls_emb" ||
         name.starts_with("text_projection");
}

AdamW::AdamW(NamedTensors parameters, const AdamWOptions& options) : options_(options) {
  for (auto& [name, parameter] : parameters) {
    ops::AdamWSlot slot;
    slot.value = parameter;
    slot.exp_avg = torch::zeros_like(parameter).detach();
    slot.exp_avg_sq = torch::zeros_like(parameter).detach();
    slot.weight_decay = decays(name, parameter) ? options.weight_decay : 0.0;
    slots_.push_back(std::move(slot));
    names_.push_back(std::move(name));
  }
}

std::vector<ops::AdamWSlot> AdamW::slots_with_grads() const {
  auto slots = slots_;
  for (auto& slot : slots) {
    if (slot.value.grad().defined()) slot.grad = slot.value.grad().contiguous();
    slot.value = slot.value.detach();
  }
  return slots;
}

double AdamW::grad_norm() const {
  std::vector<torch::Tensor> grads;
  for (const auto& slot : slots_with_grads()) {
    if (slot.grad.defined()) grads.push_back(slot.grad);
  }
  return ops::grad_norm(grads);
}

void AdamW::step(double lr, double norm) {
  ops::AdamWStep step;
  step.step = ++steps_;
  step.lr = lr;
  step.beta1 = options_.beta1;
  step.beta2 = options_.beta2;
  step.epsilon = options_.epsilon;
  if (options_.max_grad_norm > 0) step.grad_scale = ops::clip_scale(norm, options_.max_grad_norm);
  const auto slots = slots_with_grads();
  std::vector<ops::AdamWSlot> text, rest;
  for (size_t i = 0; i < slots.size(); ++i) {
    (of_text_tower(names_[i]) ? text : rest).push_back(slots[i]);
  }
  ops::adamw_step(rest, step);
  step.lr = lr * options_.text_lr_scale;
  ops::adamw_step(text, step);
}

void AdamW::zero_grad() {
  for (auto& slot : slots_) slot.value.mutable_grad().reset();
}

NamedTensors AdamW::moments() const {
  NamedTensors all;
  for (size_t i = 0; i < slots_.size(); ++i) {
    all.emplace_back("m." + names_[i], slots_[i].exp_avg);
    all.emplace_back("v." + names_[i], slots_[i].exp_avg_sq);
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
