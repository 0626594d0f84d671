// What the layouts of models have in common.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/model/config/config.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

// How weights are stored. Q8_0 is GGUF's: 8-bit blocks of 32 values with a scale.
enum class Dtype { kF32, kF16, kBF16, kQ8_0 };
const char* to_string(Dtype dtype);         // "f32", ...
Dtype dtype_from(const std::string& name);  // Error (input) for another name
NamedTensors cast(NamedTensors tensors,
                  Dtype dtype);  // Error (input) for Q8_0: safetensors has none

// Error (input) for a model of another architecture than OpenAI's, which `layout` has no words for.
void require_openai_clip(const ModelConfig& config, std::string_view layout);

// The files of a model, as its layout found them.
struct Sources {
  std::filesystem::path config;   // empty: the architecture is in, or deduced from, the weights
  std::filesystem::path weights;  // may be missing on disk
  bool vision_only = false;       // an image tower alone (see vision_only.h)
  std::string note;               // where the configuration comes from; may be empty
  // What the files do not say and was taken for granted, a sentence each: a warning at every use.
  std::vector<std::string> assumed;
};

// What a user knows of a model that its files do not say.
struct ModelHints {
  // Name or JSON file of the architecture, for weights that come without configuration.
  std::string architecture;
};

struct TowerOptions {
  Dtype dtype = Dtype::kF32;
  // The image tower alone: hf (CLIPVisionModel) and gguf (mmproj).
  bool vision_only = false;
  // gguf holds it within the file.
  const Tokenizer* tokenizer = nullptr;
  // gguf, with vision_only: the weights of LLaVA's projector, which make the file llama.cpp's.
  std::filesystem::path projector;
  // With a projector: the layer whose tokens it reads, counted as transformers' hidden_states. -2,
  // the tokens before the last block, is LLaVA's.
  int64_t feature_layer = -2;
};

}  // namespace opencloc
