#include "opencloc/checkpoint/layout/timm_names.h"

#include <array>
#include <string_view>
#include <utility>

namespace opencloc::timm_names {
namespace {

constexpr std::string_view kTrunk = "visual.trunk.";
constexpr std::string_view kVisualPrefix = "visual.";
constexpr std::string_view kBlocksOfTower = "transformer.resblocks.";

struct PartName {
  std::string_view ours, timm;  // beginnings
};
constexpr std::array<PartName, 8> kOfTower{{
    {"conv1.", "patch_embed.proj."},
    {"ln_pre.", "norm_pre."},
    {"ln_post.", "norm."},
    {"proj_bias", "head.bias"},
    {"attn_pool.attn.out_proj.", "attn_pool.proj."},
    {"attn_pool.ln.", "attn_pool.norm."},
    {"attn_pool.mlp.c_fc.", "attn_pool.mlp.fc1."},
    {"attn_pool.mlp.c_proj.", "attn_pool.mlp.fc2."},
}};
constexpr std::array<PartName, 6> kOfBlock{{
    {"ln_1.", "norm1."},
    {"ln_2.", "norm2."},
    {"attn.in_proj_", "attn.qkv."},
    {"attn.out_proj.", "attn.proj."},
    {"mlp.c_fc.", "mlp.fc1."},
    {"mlp.c_proj.", "mlp.fc2."},
}};

template <size_t N>
std::string in_timm(const std::array<PartName, N>& table, std::string_view part) {
  for (const auto& entry : table) {
    if (part.starts_with(entry.ours))
      return std::string(entry.timm) + std::string(part.substr(entry.ours.size()));
  }
  return std::string(part);  // no tower that timm builds has it: it will be missing
}

StoredAs of_tower(std::string_view part) {
  const std::string trunk(kTrunk);
  if (part.starts_with(kBlocksOfTower)) {
    const std::string_view block = part.substr(kBlocksOfTower.size());  // "11.mlp.c_fc.weight"
    const size_t dot = block.find('.') + 1;
    return {{trunk + "blocks." + std::string(block.substr(0, dot)) +
             in_timm(kOfBlock, block.substr(dot))}};
  }
  constexpr std::string_view kInProjection = "attn_pool.attn.in_proj_";
  if (part.starts_with(kInProjection)) {
    const std::string kind(part.substr(kInProjection.size()));
    return {{trunk + "attn_pool.q." + kind, trunk + "attn_pool.kv." + kind},
            StoredAs::Form::kSplitRows,
            {1, 2}};
  }
  if (part == "class_embedding")
    return {{trunk + "cls_token"}, StoredAs::Form::kLeadingOnes, {}, 2};
  if (part == "positional_embedding")
    return {{trunk + "pos_embed"}, StoredAs::Form::kLeadingOnes, {}, 1};
  if (part == "attn_pool.probe") return {{trunk + "attn_pool.latent"}};
  if (part == "proj") return {{trunk + "head.weight"}, StoredAs::Form::kTransposed};
  return {{trunk + in_timm(kOfTower, part)}};
}

}  // namespace

bool found(const StoredTensors& weights) { return weights.find(kAnchor) != nullptr; }

Naming naming(Naming others) {
  return [others = std::move(others)](const std::string& parameter) {
    if (!parameter.starts_with(kVisualPrefix)) return others(parameter);
    return of_tower(std::string_view(parameter).substr(kVisualPrefix.size()));
  };
}

}  // namespace opencloc::timm_names
