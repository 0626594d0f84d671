#include "opencloc/checkpoint/layout/known_heads.h"

#include <cmath>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/layout/layout.h"

namespace opencloc {
namespace {

// One head of 64: what a tower of that width has unless somebody chose otherwise.
constexpr int64_t kOneHead = 64;

// `sizes(config)` = {width, width of a head} of the tower asked about.
template <typename Sizes>
std::optional<KnownHeads> known_heads(int64_t width, const Sizes& sizes) {
  std::optional<KnownHeads> known;
  for (const auto& name : known_model_names()) {
    const ModelConfig config = load_model_config(name);
    if (!is_openai_clip(config)) continue;
    const auto [known_width, head_width] = sizes(config);
    if (known_width != width) continue;
    if (known && known->head_width != head_width) return std::nullopt;
    const std::string why = "as in " + name;
    if (!known || why.size() < known->why.size()) known = {head_width, why};
  }
  return known;
}

}  // namespace

std::optional<KnownHeads> known_vision_heads(int64_t width) {
  if (width == kOneHead) return KnownHeads{kOneHead, "a single one"};
  return known_heads(width, [](const ModelConfig& config) {
    return std::pair{config.vision.width, config.vision.head_width};
  });
}

std::optional<KnownHeads> known_text_heads(int64_t width) {
  if (width == kOneHead) return KnownHeads{kOneHead, "a single one"};
  return known_heads(width, [](const ModelConfig& config) {
    return std::pair{config.text.width, config.text.width / config.text.heads};
  });
}

void apply_architecture(const std::string& architecture, std::string_view where,
                        ModelConfig& config) {
  const ModelConfig named = load_model_config(architecture);
  require_openai_clip(named, "weights without configuration");
  const auto require = [&](auto file, auto name, const char* what) {
    if (file == name) return;
    throw Error::input("its " + std::string(what) + " is " + std::to_string(file) + ", " +
                           architecture + "'s is " + std::to_string(name),
                       where, "give the setting 'architecture' the one these weights have");
  };
  const auto &v = config.vision, &nv = named.vision;
  const auto &t = config.text, &nt = named.text;
  require(v.width, nv.width, "image tower's width");
  require(v.layers, nv.layers, "image tower's number of blocks");
  require(v.patch_size, nv.patch_size, "patch size");
  require(std::lround(v.mlp_ratio * static_cast<double>(v.width)),
          std::lround(nv.mlp_ratio * static_cast<double>(nv.width)), "image tower's MLP width");
  require(t.width, nt.width, "text tower's width");
  require(t.layers, nt.layers, "text tower's number of blocks");
  require(config.embed_dim, named.embed_dim, "embedding's width");
  config.quick_gelu = named.quick_gelu;
  config.vision.head_width = nv.head_width;
  config.text.heads = nt.heads;
  config.text.eos_id = nt.eos_id;
  config.preprocess = named.preprocess;
}

}  // namespace opencloc
