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

bool of_vision_tower(std::string_view name) { return name.starts_with(kVisionPrefix); }

namespace {

std::vector<ParameterPiece> whole_parameters(const NamedTensors& parameters) {
  std::vector<ParameterPiece> pieces;
  for (size_t i = 0; i < parameters.size(); ++i)
    pieces.push_back({i, 0, parameters[i].second.numel()});
  return pieces;
}

// Sharing storage; a whole one keeps its shape.
torch::Tensor piece_of(const torch::Tensor& tensor, const ParameterPiece& piece) {
  if (piece.begin == 0 && piece.end == tensor.numel()) return tensor;
  return tensor.view(-1).narrow(0, piece.begin, piece.end - piece.begin);
}

}  // namespace

AdamW::AdamW(const NamedTensors& parameters, const AdamWOptions& options)
    : AdamW(parameters, options, whole_parameters(parameters)) {}

AdamW::AdamW(const NamedTensors& parameters, const AdamWOptions& options,
             std::vector<ParameterPiece> pieces)
    : options_(options), pieces_(std::move(pieces)) {
  for (const auto& [name, parameter] : parameters) {
    names_.push_back(name);
    parameters_.push_back(parameter);
  }
  for (const auto& piece : pieces_) {
    ops::AdamWSlot slot;
    const auto& parameter = parameters_[piece.parameter];
    const auto value = piece_of(parameter.detach(), piece);
    slot.exp_avg = torch::zeros_like(value);
    slot.exp_avg_sq = torch::zeros_like(value);
    slot.weight_decay = decays(names_[piece.parameter], parameter) ? options.weight_decay : 0.0;
    slots_.push_back(std::move(slot));
  }
}

std::vector<ops::AdamWSlot> AdamW::slots_with_grads() const {
  auto slots = slots_;
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto& parameter = parameters_[pieces_[i].parameter];
    if (parameter.grad().defined())
      slots[i].grad = piece_of(parameter.grad().contiguous(), pieces_[i]);
    slots[i].value = piece_of(parameter.detach(), pieces_[i]);
  }
  return slots;
}

std::vector<torch::Tensor> AdamW::gradients() const {
  std::vector<torch::Tensor> grads;
  for (const auto& slot : slots_with_grads()) {
    if (slot.grad.defined()) grads.push_back(slot.grad);
  }
  return grads;
}

double AdamW::grad_norm() const { return ops::grad_norm(gradients()); }
torch::Tensor AdamW::late_grad_norm() const { return ops::late_grad_norm(gradients()); }

void AdamW::step(double lr, double norm) {
  ops::AdamWStep how;
  if (options_.max_grad_norm > 0) how.grad_scale = ops::clip_scale(norm, options_.max_grad_norm);
  step(lr, how);
}

void AdamW::late_step(double lr, const torch::Tensor& norm) {
  ops::AdamWStep how;
  how.late_grad_scale = ops::late_clip_scale(norm, options_.max_grad_norm);
  step(lr, how);
}

void AdamW::step(double lr, ops::AdamWStep step) {
  step.step = ++steps_;
  step.lr = lr;
  step.beta1 = options_.beta1;
  step.beta2 = options_.beta2;
  step.epsilon = options_.epsilon;
  const auto slots = slots_with_grads();
  std::vector<ops::AdamWSlot> text, vision, rest;
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto& name = names_[pieces_[i].parameter];
    (of_text_tower(name) ? text : of_vision_tower(name) ? vision : rest).push_back(slots[i]);
  }
  ops::adamw_step(rest, step);
  step.lr = lr * options_.text_lr_scale;
  ops::adamw_step(text, step);
  step.lr = lr * options_.vision_lr_scale;
  ops::adamw_step(vision, step);
}

void AdamW::zero_grad() {
  for (auto& parameter : parameters_) parameter.mutable_grad().reset();
}

std::vector<torch::Tensor> AdamW::first_moments() const {
  std::vector<torch::Tensor> all;
  for (const auto& slot : slots_) all.push_back(slot.exp_avg);
  return all;
}

std::vector<torch::Tensor> AdamW::second_moments() const {
  std::vector<torch::Tensor> all;
  for (const auto& slot : slots_) all.push_back(slot.exp_avg_sq);
  return all;
}

NamedTensors AdamW::moments() const {
  NamedTensors all;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const auto& name = names_[pieces_[i].parameter];
    all.emplace_back("m." + name, slots_[i].exp_avg);
    all.emplace_back("v." + name, slots_[i].exp_avg_sq);
  }
  return all;
}

void AdamW::load(const NamedTensors& saved, int64_t steps, std::string_view where) {
  const torch::NoGradGuard no_grad;
  const std::unordered_map<std::string, torch::Tensor> by_name(saved.begin(), saved.end());
  for (size_t i = 0; i < slots_.size(); ++i) {
    const auto& piece = pieces_[i];
    const auto copy = [&](const std::string& name, torch::Tensor to) {
      const auto it = by_name.find(name);
      if (it == by_name.end() || it->second.sizes() != parameters_[piece.parameter].sizes()) {
        throw Error::input("optimizer state '" + name + "' is missing or has another shape", where,
                           "resume with the model it was saved from");
      }
      to.copy_(piece_of(it->second, piece));
    };
    copy("m." + names_[piece.parameter], slots_[i].exp_avg);
    copy("v." + names_[piece.parameter], slots_[i].exp_avg_sq);
  }
  steps_ = steps;
}

}  // namespace opencloc
