#include "opencloc/checkpoint/no_model.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"
#include "opencloc/checkpoint/layout/openai_layout.h"
#include "opencloc/checkpoint/layout/wrapped_names.h"
#include "opencloc/checkpoint/model_directory.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTypesRead = "clip, clip_vision_model, siglip";
constexpr size_t kFilesShown = 8;

std::string listed(const std::vector<fs::path>& files) {
  std::string text;
  for (size_t i = 0; i < std::min(files.size(), kFilesShown); ++i)
    text += (i == 0 ? "" : ", ") + files[i].filename().string();
  return files.size() > kFilesShown ? text + ", ..." : text;
}

// "chinese_clip"; of older files the class: "ChineseCLIPModel". Empty: neither.
std::string type_in(const fs::path& config) {
  const Json json = read_json(config);
  if (!json.is_object()) return {};
  if (const auto type = json.find("model_type"); type != json.end() && type->is_string())
    return "model_type \"" + type->get<std::string>() + '"';
  const auto classes = json.find("architectures");
  if (classes == json.end() || !classes->is_array() || classes->empty() ||
      !classes->front().is_string()) {
    return {};
  }
  return "architecture \"" + classes->front().get<std::string>() + '"';
}

[[noreturn]] void refuse_config(const fs::path& config) {
  const Json json = read_json(config);
  if (json.is_object() && (json.contains("model_cfg") || json.contains("vision_cfg"))) {
    throw Error::input("is a configuration of open_clip's under Hugging Face's name",
                       config.string(), "name it open_clip_config.json");
  }
  const std::string type = type_in(config);
  throw Error::input(type.empty() ? "has no model_type" : type + " is not read", config.string(),
                     std::string("name a model of one of the types that are read: ") + kTypesRead);
}

// Weights nobody knows the architecture of.
[[noreturn]] void refuse_weights(const fs::path& file) {
  const StoredTensors weights = open_weights(file);
  const bool hf = has_wrapped(weights, {"embeddings.patch_embedding.weight"});
  if (hf) {
    throw Error::input("has weights under Hugging Face's names and no config.json", file.string(),
                       fs::exists(file.parent_path() / "config.json")
                           ? "name the folder"
                           : "put the model's config.json beside and name the folder");
  }
  std::string names;
  for (size_t i = 0; i < std::min<size_t>(weights.tensors().size(), 2); ++i)
    names += (i == 0 ? "" : ", ") + weights.tensors()[i].name;
  throw Error::input(
      "is not a model's file (neither GGUF nor weights under open_clip's names; its tensors are " +
          (names.empty() ? std::string("none") : names + ", ...") + ")",
      file.string(), "name the folder its configuration lies in");
}

[[noreturn]] void refuse_missing(const fs::path& path) {
  const std::string text = path.string();
  const auto names = known_model_names();
  if (text.find("://") != std::string::npos || text.starts_with("hf-hub:")) {
    throw Error::input("models are read from this machine alone", text,
                       "download it and name its folder");
  }
  if (std::ranges::find(names, text) != names.end()) {
    throw Error::input("is the name of an architecture, which has no weights", text,
                       "name a model directory, or a file of weights");
  }
  throw Error::input("no such model directory or file", text, "check the path");
}

void refuse_files(const fs::path& folder) {
  const auto files = openai_layout::candidates(folder);
  if (files.size() > 1) {
    throw Error::input(
        std::to_string(files.size()) + " files of weights lie here: " + listed(files),
        folder.string(), "name one of them");
  }
  if (files.size() == 1) refuse_weights(files[0]);
}

}  // namespace

bool wants_to_be_model(const fs::path& folder) {
  return fs::exists(folder / "config.json") || !openai_layout::candidates(folder).empty();
}

void refuse_no_model(const fs::path& path) {
  if (!fs::exists(path)) refuse_missing(path);
  if (!fs::is_directory(path)) {
    if (!openai_layout::candidates(path).empty()) refuse_weights(path);
    throw Error::input("is not a model's file (neither GGUF nor weights under open_clip's names)",
                       path.string(), "name the folder its configuration lies in");
  }
  if (fs::exists(path / "config.json")) refuse_config(path / "config.json");
  refuse_files(path);
  for (const char* inner : {"model", "checkpoints"}) {  // of our runs, of open_clip's
    const fs::path nested = path / inner;
    if (fs::is_directory(nested) && !openai_layout::candidates(nested).empty() &&
        !layout_of(nested))
      refuse_files(nested);
    if (layout_of(nested)) {
      throw Error::input("is not a model directory", path.string(), "name " + nested.string());
    }
  }
  throw Error::input(
      "is not a model directory (neither open_clip_config.json, a CLIP config.json, nor one file "
      "of CLIP weights)",
      path.string(), "see docs/reference/model_directories.md");
}

std::string different_keys(const ModelConfig& open_clip, const ModelConfig& hf) {
  std::string text;
  const auto compare = [&](const char* key, double a, double b) {
    if (std::abs(a - b) <= 1e-3 * std::max(std::abs(a), std::abs(b))) return;
    text +=
        (text.empty() ? "" : ", ") + std::string(key) + " " + dump_json(a) + " and " + dump_json(b);
  };
  const auto size = [&](const char* key, int64_t a, int64_t b) {
    compare(key, static_cast<double>(a), static_cast<double>(b));
  };
  size("embed_dim", open_clip.embed_dim, hf.embed_dim);
  size("quick_gelu", open_clip.quick_gelu ? 1 : 0, hf.quick_gelu ? 1 : 0);
  size("image_size", open_clip.vision.image_size, hf.vision.image_size);
  size("patch_size", open_clip.vision.patch_size, hf.vision.patch_size);
  size("image tower's width", open_clip.vision.width, hf.vision.width);
  size("image tower's layers", open_clip.vision.layers, hf.vision.layers);
  size("image tower's heads", open_clip.vision.heads(), hf.vision.heads());
  compare("mlp_ratio", open_clip.vision.mlp_ratio, hf.vision.mlp_ratio);
  size("context_length", open_clip.text.context_length, hf.text.context_length);
  size("text tower's width", open_clip.text.width, hf.text.width);
  size("text tower's layers", open_clip.text.layers, hf.text.layers);
  size("text tower's heads", open_clip.text.heads, hf.text.heads);
  const auto &a = open_clip.preprocess, &b = hf.preprocess;
  for (size_t i = 0; i < 3; ++i) {
    compare("mean", a.mean[i], b.mean[i]);
    compare("std", a.std[i], b.std[i]);
  }
  size("bicubic", a.bicubic ? 1 : 0, b.bicubic ? 1 : 0);
  if (a.resize_mode != b.resize_mode) {
    text += (text.empty() ? "" : ", ") + std::string("resize_mode ") + to_string(a.resize_mode) +
            " and " + to_string(b.resize_mode);
  }
  return text;
}

}  // namespace opencloc
