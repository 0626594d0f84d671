// Model configurations in open_clip's JSON form, with a `cloc` part of our own.
// The same description serves training and inference.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/image/canvas.h"

namespace opencloc {

struct VisionConfig {
  int64_t image_size = 224;
  int64_t patch_size = 16;
  int64_t width = 768;
  int64_t layers = 12;
  int64_t head_width = 64;
  double mlp_ratio = 4.0;

  int64_t heads() const { return width / head_width; }
  int64_t grid() const { return image_size / patch_size; }
  int64_t patches() const { return grid() * grid(); }  // N
};

struct TextConfig {
  int64_t context_length = 77;
  int64_t vocab_size = 49408;
  int64_t width = 512;
  int64_t heads = 8;
  int64_t layers = 12;
  double mlp_ratio = 4.0;
  // Id of the end-of-text token, whose first place is pooled (open_clip: pool_type "eos", eos_id).
  // -1: the place of the highest id (open_clip's "argmax": OpenAI's vocabulary).
  int64_t eos_id = -1;
};

enum class Pool { kAll, kPrompt };
enum class RegionExtractor { kPrompter, kRoiAlign };

// The Prompter and BoxHead (spec/cloc.md section 2).
struct ClocConfig {
  RegionExtractor region_extractor = RegionExtractor::kPrompter;
  Pool pool = Pool::kPrompt;
  bool joint_box_token = true;        // a third box token: a linear map of both corners' encodings
  bool position_image_tokens = true;  // patch tokens carry the sinusoidal encoding of their centres
  double mlp_ratio = 4.0;
};

struct PreprocessConfig {
  std::array<float, 3> mean{0.48145466f, 0.4578275f, 0.40821073f};
  std::array<float, 3> std{0.26862954f, 0.26130258f, 0.27577711f};
  CanvasRule resize_mode = CanvasRule::kShortest;
  uint8_t fill_color = 0;
  bool bicubic = true;  // else bilinear
};

struct ModelConfig {
  std::string name;         // e.g. "ViT-B-16"; empty for a config read from a file
  int64_t embed_dim = 512;  // E
  bool quick_gelu = false;
  VisionConfig vision;
  TextConfig text;
  ClocConfig cloc;
  PreprocessConfig preprocess;

  // Throws Error (input) naming the key that makes no sense.
  void validate(std::string_view where) const;
};

// "ViT-B-16", ... or the path of a JSON file. Error (input) lists the known names.
ModelConfig load_model_config(const std::string& name_or_path);
// From a parsed file: {"model_cfg"?: {embed_dim, vision_cfg, text_cfg, quick_gelu?},
// "preprocess_cfg"?, "cloc"?} or open_clip's bare model_cfg. Unknown keys that would change the
// model are errors.
ModelConfig model_config_from_json(const Json& json, std::string_view where);
// {"model_cfg": {...}, "preprocess_cfg": {...}}: open_clip_config.json.
Json open_clip_config_json(const ModelConfig& config);
// The `cloc` part, for cloc_config.json and model files.
Json cloc_config_json(const ClocConfig& config);
ClocConfig cloc_config_from_json(const Json& json, std::string_view where);
std::vector<std::string> known_model_names();

const char* to_string(Pool pool);
const char* to_string(RegionExtractor extractor);
const char* to_string(CanvasRule rule);

}  // namespace opencloc
