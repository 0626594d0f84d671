#include "opencloc/model/config/timm_towers.h"

#include <algorithm>
#include <vector>

namespace opencloc {
namespace {

struct Size {
  const char* name;
  int64_t image_size, patch_size, width, layers, heads;
  double mlp_ratio = 4;
};

// timm/models/eva.py, vit_pe_core_*.
constexpr Size kPeCores[] = {
    {"vit_pe_core_tiny_patch16_384", 384, 16, 192, 12, 3},
    {"vit_pe_core_small_patch16_384", 384, 16, 384, 12, 6},
    {"vit_pe_core_base_patch16_224", 224, 16, 768, 12, 12},
    {"vit_pe_core_large_patch14_336", 336, 14, 1024, 24, 16},
};
constexpr Size kLargestPeCore = {
    "vit_pe_core_gigantic_patch14_448", 448, 14, 1536, 50, 16, 8960.0 / 1536};

// timm/models/vision_transformer.py, vit_*_siglip_*. With the error function or with a tanh: the
// name decides, not the weights, of which SigLIP's are all trained with a tanh.
constexpr Size kSiglipsErf[] = {
    {"vit_base_patch16_siglip_224", 224, 16, 768, 12, 12},
    {"vit_base_patch16_siglip_256", 256, 16, 768, 12, 12},
    {"vit_base_patch16_siglip_384", 384, 16, 768, 12, 12},
    {"vit_base_patch16_siglip_512", 512, 16, 768, 12, 12},
    {"vit_large_patch16_siglip_256", 256, 16, 1024, 24, 16},
    {"vit_large_patch16_siglip_384", 384, 16, 1024, 24, 16},
    {"vit_so400m_patch14_siglip_224", 224, 14, 1152, 27, 16, 3.7362},
    {"vit_so400m_patch14_siglip_378", 378, 14, 1152, 27, 16, 3.7362},
};
constexpr Size kSiglipsTanh[] = {
    {"vit_base_patch32_siglip_256", 256, 32, 768, 12, 12},
    {"vit_large_patch16_siglip_512", 512, 16, 1024, 24, 16},
    {"vit_so400m_patch16_siglip_256", 256, 16, 1152, 27, 16, 3.7362},
    {"vit_so400m_patch16_siglip_384", 384, 16, 1152, 27, 16, 3.7362},
    {"vit_so400m_patch16_siglip_512", 512, 16, 1152, 27, 16, 3.7362},
    {"vit_giantopt_patch16_siglip_256", 256, 16, 1536, 40, 16},
    {"vit_giantopt_patch16_siglip_384", 384, 16, 1536, 40, 16},
};
constexpr Size kClipLarge = {"vit_large_patch14_clip_224", 224, 14, 1024, 24, 16};

VisionConfig sized(const Size& size) {
  VisionConfig vision;
  vision.image_size = size.image_size;
  vision.patch_size = size.patch_size;
  vision.width = size.width;
  vision.layers = size.layers;
  vision.head_width = size.width / size.heads;
  vision.mlp_ratio = size.mlp_ratio;
  return vision;
}

TimmTower pe_core(const Size& size) {
  TimmTower tower{size.name, "map", "", sized(size)};
  auto& vision = tower.vision;
  vision.pool = ImagePool::kAttention;
  vision.projection_bias = true;
  vision.rotary_grid = vision.grid();
  vision.map_heads = 8;
  return tower;
}

TimmTower siglip(const Size& size, bool gelu_tanh) {
  TimmTower tower{size.name, "map", "none", sized(size)};
  auto& vision = tower.vision;
  vision.class_token = vision.ln_pre = vision.projection = false;
  vision.patch_bias = true;
  vision.pool = ImagePool::kAttention;
  vision.layer_norm_eps = 1e-6;
  vision.gelu_tanh = gelu_tanh;
  return tower;
}

std::vector<TimmTower> all_towers() {
  std::vector<TimmTower> towers;
  for (const auto& size : kPeCores) towers.push_back(pe_core(size));
  towers.push_back(pe_core(kLargestPeCore));
  towers.back().vision.class_token = false;
  towers.back().vision.map_mlp_ratio = 4;
  for (const auto& size : kSiglipsErf) towers.push_back(siglip(size, false));
  for (const auto& size : kSiglipsTanh) towers.push_back(siglip(size, true));
  towers.push_back({kClipLarge.name, "token", "", sized(kClipLarge)});
  towers.back().vision.projection_bias = true;
  return towers;
}

const std::vector<TimmTower>& towers() {
  static const std::vector<TimmTower> all = all_towers();
  return all;
}

const TimmTower* or_null(std::vector<TimmTower>::const_iterator found) {
  return found == towers().end() ? nullptr : &*found;
}

}  // namespace

const TimmTower* timm_tower(const std::string& name) {
  return or_null(std::ranges::find(towers(), name, &TimmTower::name));
}

const TimmTower* timm_tower(const VisionConfig& vision) {
  return or_null(std::ranges::find(towers(), vision, &TimmTower::vision));
}

std::string known_timm_towers() {
  std::string names;
  for (const auto& tower : towers()) names += (names.empty() ? "" : ", ") + tower.name;
  return names;
}

}  // namespace opencloc
