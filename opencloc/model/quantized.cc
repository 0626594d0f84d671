#include "opencloc/model/quantized.h"

#include <unordered_map>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/ops/quantized.h"

namespace opencloc {
namespace {

constexpr const char* kScaleEnd = "_scale";

// The weights that may be quantised, by their names on disk.
struct BlockWeight {
  std::string name;
  torch::Tensor* weight;  // a member of its layer
};
std::vector<BlockWeight> block_weights(const Cloc& model) {
  std::vector<BlockWeight> weights;
  for (const auto& item : model->named_modules()) {
    const std::string& key = item.key();
    const bool of_text = key.starts_with("text.transformer.resblocks.");
    if (!of_text && !key.starts_with("visual.transformer.resblocks.")) continue;
    const std::string name = of_text ? key.substr(5) : key;
    if (auto* attention = item.value()->as<AttentionImpl>())
      weights.push_back({name + ".in_proj_weight", &attention->in_proj_weight});
    if (auto* linear = item.value()->as<LinearImpl>())
      weights.push_back({name + ".weight", &linear->weight});
  }
  return weights;
}

// The registered parameter gives its memory up and the layer goes on with `value`.
void replace(torch::Tensor& weight, const torch::Tensor& value) {
  if (!weight.is_quantized()) weight.set_data(torch::empty({0}));
  weight = value;
}

void stop_gradients(Cloc& model) {
  for (auto& parameter : model->parameters()) parameter.requires_grad_(false);
}

// weight [O, I] F32 -> what it becomes.
template <typename Quantize>
void quantize_with(Cloc& model, const Quantize& quantize) {
  const torch::NoGradGuard no_grad;
  stop_gradients(model);
  for (const auto& [name, weight] : block_weights(model)) {
    if (!weight->is_quantized() && ops::can_be_quantized(*weight))
      replace(*weight, quantize(name, *weight));
  }
}

}  // namespace

void quantize_towers(Cloc& model) {
  quantize_with(model, [](const std::string& name, const torch::Tensor& weight) {
    if (weight.isfinite().all().item<bool>()) return ops::quantized(weight);
    throw Error::input("a weight is infinite or no number", name, "convert another checkpoint");
  });
}

void make_quantized(Cloc& model) {
  quantize_with(model, [](const std::string&, const torch::Tensor& weight) {
    return ops::quantized(torch::zeros(weight.sizes(), torch::kChar),
                          torch::zeros({weight.size(0)}));
  });
}

bool is_quantized(const Cloc& model) {
  for (const auto& [name, weight] : block_weights(model)) {
    if (weight->is_quantized()) return true;
  }
  return false;
}

std::vector<std::pair<std::string, torch::Tensor>> quantized_clip_weights(const Cloc& model) {
  std::unordered_map<std::string, torch::Tensor> quantized;
  for (const auto& [name, weight] : block_weights(model)) {
    if (weight->is_quantized()) quantized[name] = *weight;
  }
  std::vector<std::pair<std::string, torch::Tensor>> weights;
  for (const auto& [name, weight] : model->clip_weights()) {
    const auto found = quantized.find(name);
    if (found == quantized.end()) {
      weights.emplace_back(name, weight);
      continue;
    }
    weights.emplace_back(name, ops::quantized_values(found->second));
    weights.emplace_back(name + kScaleEnd, ops::quantized_scale(found->second));
  }
  return weights;
}

void set_quantized_weights(Cloc& model,
                           const std::vector<std::pair<std::string, torch::Tensor>>& weights) {
  const std::unordered_map<std::string, torch::Tensor> values(weights.begin(), weights.end());
  for (const auto& [name, weight] : block_weights(model)) {
    if (weight->is_quantized())
      replace(*weight, ops::quantized(values.at(name), values.at(name + kScaleEnd)));
  }
}

void share_quantized_weights(const Cloc& from, Cloc& to) {
  const torch::NoGradGuard no_grad;
  stop_gradients(to);
  const auto source = block_weights(from), target = block_weights(to);
  TORCH_CHECK(source.size() == target.size(), "the models' towers differ");
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i].weight->is_quantized()) replace(*target[i].weight, *source[i].weight);
  }
}

}  // namespace opencloc
