#include "opencloc/train/lock.h"

#include <cctype>
#include <string>

#include "opencloc/train/optimizer.h"

namespace opencloc {

int64_t layer_group(std::string_view name, int64_t layers) {
  if (name.starts_with("visual.")) name.remove_prefix(7);
  constexpr std::string_view kBlocks = "transformer.resblocks.";
  if (name.starts_with(kBlocks)) {
    int64_t block = 0;
    for (const char digit : name.substr(kBlocks.size())) {
      if (std::isdigit(static_cast<unsigned char>(digit)) == 0) break;
      block = 10 * block + (digit - '0');
    }
    return block + 1;
  }
  if (name.starts_with("ln_post.") || name.starts_with("ln_final.")) return layers;
  const bool last = name == "proj" || name == "proj_bias" || name.starts_with("text_projection") ||
                    name.starts_with("attn_pool.");
  return last ? layers + 1 : 0;
}

void lock_towers(Cloc& model, const LockOptions& options) {
  const auto& config = model->config();
  for (auto& [name, parameter] : model->clip_weights()) {
    const bool image = name.starts_with("visual."), text = of_text_tower(name);
    if (name.starts_with("text_decoder.")) continue;  // between the towers, in neither
    if (!image && !text) {
      if (options.both_whole()) parameter.requires_grad_(false);
      continue;
    }
    if (!(image ? options.image : options.text)) continue;
    const int64_t layers = image ? config.vision.layers : config.text.layers;
    const int64_t unlocked = image ? options.image_unlocked_groups : options.text_unlocked_groups;
    parameter.requires_grad_(layer_group(name, layers) >= layers + 2 - unlocked);
  }
}

void lock_all_but_encoder(Cloc& model) {
  for (auto& [name, parameter] : model->clip_weights())
    parameter.requires_grad_(name.starts_with("visual.") && !name.starts_with("visual.proj"));
}

NamedTensors trainable(const NamedTensors& parameters) {
  NamedTensors kept;
  for (const auto& [name, parameter] : parameters) {
    if (parameter.requires_grad()) kept.emplace_back(name, parameter);
  }
  return kept;
}

}  // namespace opencloc
