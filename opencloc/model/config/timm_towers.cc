#include "opencloc/model/config/timm_towers.h"

namespace opencloc {
namespace {

// timm/models/eva.py, vit_pe_core_*.
struct PeCore {
  const char* name;
  int64_t image_size, patch_size, width, layers, heads;
  double mlp_ratio;
  bool class_token;
};
constexpr PeCore kPeCores[] = {
    {"vit_pe_core_tiny_patch16_384", 384, 16, 192, 12, 3, 4, true},
    {"vit_pe_core_small_patch16_384", 384, 16, 384, 12, 6, 4, true},
    {"vit_pe_core_base_patch16_224", 224, 16, 768, 12, 12, 4, true},
    {"vit_pe_core_large_patch14_336", 336, 14, 1024, 24, 16, 4, true},
    {"vit_pe_core_gigantic_patch14_448", 448, 14, 1536, 50, 16, 8960.0 / 1536, false},
};
constexpr int64_t kPoolHeads = 8;
constexpr double kPoolMlpRatio = 4;

VisionConfig tower_of(const PeCore& size) {
  VisionConfig vision;
  vision.image_size = size.image_size;
  vision.patch_size = size.patch_size;
  vision.width = size.width;
  vision.layers = size.layers;
  vision.head_width = size.width / size.heads;
  vision.mlp_ratio = size.mlp_ratio;
  vision.class_token = size.class_token;
  vision.pool = ImagePool::kAttention;
  vision.projection_bias = true;
  vision.rotary_grid = vision.grid();
  vision.map_heads = kPoolHeads;
  if (size.mlp_ratio != kPoolMlpRatio) vision.map_mlp_ratio = kPoolMlpRatio;
  return vision;
}

}  // namespace

std::optional<VisionConfig> timm_tower(const std::string& name) {
  for (const auto& size : kPeCores)
    if (name == size.name) return tower_of(size);
  return std::nullopt;
}

std::string known_timm_towers() {
  std::string names;
  for (const auto& size : kPeCores) names += (names.empty() ? "" : ", ") + std::string(size.name);
  return names;
}

std::string timm_name(const VisionConfig& vision) {
  for (const auto& size : kPeCores)
    if (vision == tower_of(size)) return size.name;
  return {};
}

}  // namespace opencloc
