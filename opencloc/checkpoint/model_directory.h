// Models on disk (docs/reference/model_directories.md): a configuration, weights and a tokenizer
// that lie together in a directory, or in one file, in one of several layouts. The layouts have a
// file each: open_clip_layout, hf_layout, openai_layout, gguf_layout, onnx_layout.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/checkpoint/file/stored_tensors.h"
#include "opencloc/checkpoint/layout/layout.h"
#include "opencloc/model/cloc/cloc.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

enum class Layout {
  kOpenClip,  // open_clip_config.json + open_clip_model.safetensors (+ our files): the native one
  kHuggingFace,  // config.json + model.safetensors of a transformers CLIPModel (+ our files)
  kGguf,         // a .gguf file of clip.cpp's or llama.cpp's, alone or in a directory (+ our files)
  kOpenAi,       // weights under open_clip's names alone, or in a directory (+ our files)
  kOnnx,         // ONNX graphs of the towers and of the region part: written, not read
};
const char* to_string(Layout layout);  // "open_clip", "hf", "gguf", "openai", "onnx"

struct LoadedModel {
  Cloc model{nullptr};                         // F32, on the CPU
  std::shared_ptr<const Tokenizer> tokenizer;  // null when there is none
  Json about = Json::object();                 // what it was trained on, as save_model() was told
  bool has_region_heads = false;               // false: a plain CLIP, without a region part
  bool vision_only = false;                    // the text tower is a placeholder: vision_only.h
  Layout layout = Layout::kOpenClip;
};

// `path`: a model directory, or a file that is a model by itself. What its files do not say and was
// taken for granted is a warning in the log, each time. Throws Error (input) for what is no model,
// for unknown configuration keys and for tensors that are missing, unexpected, of another shape or
// not finite (naming the first few).
LoadedModel load_model(const std::filesystem::path& path, const ModelHints& hints = {});

// Throws Error (input) when the tokenizer has more ids than the model, or the model would pool at
// another token than the tokenizer's end; `where` names the tokenizer.
void check_tokenizer(const TextConfig& config, const Tokenizer& tokenizer, std::string_view where);

struct SaveOptions {
  const Tokenizer* tokenizer = nullptr;  // its files are written beside the weights
  Json about = Json::object();
  // False for a plain CLIP, whose region heads are untrained: they are left out.
  bool region_heads = true;  // where the model has any
  // cloc_config.json, without which a directory is a CLIP as its other readers write it. Heads are
  // never written without.
  bool region_config = true;
  Layout layout = Layout::kOpenClip;
  Dtype dtype = Dtype::kF32;  // of the towers; region heads stay F32
  // The image tower alone (kHuggingFace, kGguf, kOnnx), without tokenizer and region part.
  bool vision_only = false;
  std::filesystem::path projector;  // see TowerOptions
};

// Whole or not at all: the directory appears, or replaces an older one, once it is complete. A path
// that is_single_file() gets one file, without region part and tokenizer files (kGguf holds the
// tokenizer within).
void save_model(const std::filesystem::path& path, const Cloc& model, const SaveOptions& options);
// The layout writes one file under a name like this: X.gguf, X.safetensors.
bool is_single_file(const std::filesystem::path& path, Layout layout);

// What is at a path, without loading its weights; none when it is no model. Throws Error (input)
// for a damaged file that looks like one.
std::optional<Layout> layout_of(const std::filesystem::path& path);
// The files the layout reads, and what was assumed.
Sources model_sources(const std::filesystem::path& path, const ModelHints& hints = {});
// The configuration of a model, weights untouched.
ModelConfig read_model_config(const std::filesystem::path& path, const ModelHints& hints = {});
// The tensors of the towers, and those of the region heads where there are any.
std::vector<StoredTensors> model_tensors(const std::filesystem::path& path);
// Null when there is no tokenizer at the path (for a single file: in it, or beside it and fitting).
std::shared_ptr<const Tokenizer> load_tokenizer_if_any(const std::filesystem::path& path,
                                                       const ModelHints& hints = {});

}  // namespace opencloc
