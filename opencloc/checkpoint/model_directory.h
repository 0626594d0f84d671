// Model directories (docs/model_directories.md): a configuration, weights and a tokenizer that lie
// together, in one of several layouts. The layouts have a file each: open_clip_layout, hf_layout.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/model/cloc.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

enum class Layout {
  kOpenClip,  // open_clip_config.json + open_clip_model.safetensors (+ our files): the native one
  kHuggingFace,  // config.json + model.safetensors of a transformers CLIPModel (+ our files)
};
const char* to_string(Layout layout);  // "open_clip", "hf"

struct LoadedModel {
  Cloc model{nullptr};                         // F32, on the CPU
  std::shared_ptr<const Tokenizer> tokenizer;  // null when the directory has none
  Json about = Json::object();                 // what it was trained on, as save_model() was told
  bool has_region_heads = false;               // false: a plain CLIP, region parts are untrained
  Layout layout = Layout::kOpenClip;
};

// Throws Error (input) for a folder that is no model directory, for unknown configuration keys and
// for tensors that are missing, unexpected or of another shape (naming the first few).
LoadedModel load_model(const std::filesystem::path& directory);

// Throws Error (input) when the tokenizer has more ids than the model, or the model would pool at
// another token than the tokenizer's end; `where` names the tokenizer.
void check_tokenizer(const TextConfig& config, const Tokenizer& tokenizer, std::string_view where);

struct SaveOptions {
  const Tokenizer* tokenizer = nullptr;  // its files are written beside the weights
  Json about = Json::object();
  // False for a plain CLIP, whose region heads are untrained: they are left out.
  bool region_heads = true;
  Layout layout = Layout::kOpenClip;
};

// Whole or not at all: the directory appears, or replaces an older one, once it is complete.
void save_model(const std::filesystem::path& directory, const Cloc& model,
                const SaveOptions& options);

// What is in a directory, without loading its weights; none when it is no model directory.
std::optional<Layout> layout_of(const std::filesystem::path& directory);
// The configuration of a model directory, weights untouched.
ModelConfig read_model_config(const std::filesystem::path& directory);
// The safetensors files a model directory holds its weights in.
std::vector<std::filesystem::path> weight_files(const std::filesystem::path& directory);
// Null when the directory has no tokenizer's files.
std::shared_ptr<const Tokenizer> load_tokenizer_if_any(const std::filesystem::path& directory);

}  // namespace opencloc
