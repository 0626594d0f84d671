#include "opencloc/cli/inspect_models.h"

#include <map>
#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/checkpoint/file/gguf.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/layout/weights.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/checkpoint/no_model.h"
#include "opencloc/checkpoint/region_part.h"
#include "opencloc/cli/inspect_paths.h"
#include "opencloc/train/checkpoints.h"

namespace opencloc::cli {
namespace {

namespace fs = std::filesystem;

struct Weights {
  int64_t parameters = 0;
  std::map<std::string, int64_t> dtypes;  // tensors of each

  void add(const StoredTensors& file) {
    for (const auto& tensor : file.tensors()) {
      parameters += c10::multiply_integers(tensor.shape.begin(), tensor.shape.end());
      ++dtypes[tensor.dtype];
    }
  }
};

// What every file of weights has.
Json inspect_tensors(const fs::path& path, const StoredTensors& file) {
  Weights weights;
  weights.add(file);
  Json found;
  found["bytes"] = fs::file_size(path);
  found["parameters"] = weights.parameters;
  found["dtypes"] = weights.dtypes;
  Json tensors = Json::array();
  for (const auto& tensor : file.tensors()) {
    Json line;
    line["name"] = tensor.name;
    line["dtype"] = tensor.dtype;
    line["shape"] = tensor.shape;
    tensors.push_back(std::move(line));
  }
  found["tensors"] = std::move(tensors);
  return found;
}

Json inspect_safetensors(const fs::path& path) {
  Json found = inspect_tensors(path, open_weights(path));
  Json metadata = Json::object();
  const SafetensorsFile file(path);
  for (const auto& [key, value] : file.metadata()) metadata[key] = value;
  found["metadata"] = std::move(metadata);
  return found;
}

// A key's value; long lists (a vocabulary) as their length.
Json gguf_value(const GgufHeader& header, const std::string& key, const GgufValue& value) {
  constexpr uint64_t kShown = 8;
  if (value.kind == GgufKind::kString) return std::string(value.bytes);
  if (value.kind == GgufKind::kBool) return value.bytes[0] != 0;
  if (value.kind != GgufKind::kArray) return header.number(key, 0);
  if (value.count > kShown || value.element == GgufKind::kBool)
    return std::to_string(value.count) + " values";
  if (value.element != GgufKind::kString) return header.numbers(key);
  return std::vector<std::string>(value.strings.begin(), value.strings.end());
}

Json inspect_gguf(const fs::path& path) {
  const auto file = open_gguf(path);
  Json found = inspect_tensors(path, file->stored());
  found["version"] = file->header().version();
  Json keys = Json::object();
  for (const auto& [key, value] : file->header().keys())
    keys[key] = gguf_value(file->header(), key, value);
  found["metadata"] = std::move(keys);
  return found;
}

Json inspect_tokenizer(const fs::path& directory, const TextConfig& config,
                       const ModelHints& hints) {
  const auto tokenizer = load_tokenizer_if_any(directory, hints);
  if (!tokenizer) return nullptr;
  check_tokenizer(config, *tokenizer, directory.string());
  Json found;
  Json files = Json::array();
  for (const auto& file : tokenizer->files()) files.push_back(file.name);
  found["files"] = std::move(files);
  found["vocab_size"] = tokenizer->vocab_size();
  found["end_id"] = tokenizer->end_id();
  return found;
}

// "config.json + model.safetensors: NOTE".
std::string seen(const Sources& sources) {
  std::string text = sources.config.filename().string();
  if (!sources.weights.empty())
    text += (text.empty() ? "" : " + ") + sources.weights.filename().string();
  return sources.note.empty() ? text : text + ": " + sources.note;
}

// Values that are infinite or no numbers: the model cannot be loaded.
std::vector<std::string> not_finite(const std::vector<StoredTensors>& files) {
  std::vector<std::string> names;
  for (const auto& file : files) {
    for (const auto& tensor : file.tensors()) {
      const auto values = tensor.read();
      if (values.is_floating_point() && !is_finite(values)) names.push_back(tensor.name);
    }
  }
  return names;
}

Json inspect_model(const fs::path& directory, const ModelHints& hints = {}) {
  const ModelConfig config = read_model_config(directory, hints);
  const Sources sources = model_sources(directory, hints);
  const RegionPart part = fs::is_directory(directory) ? read_region_part(directory) : RegionPart{};
  Weights weights;
  const auto files = model_tensors(directory);
  for (const auto& file : files) weights.add(file);
  for (const auto& text : sources.assumed) log::warn("{}: {}", directory.string(), text);
  Json found;
  found["layout"] = to_string(*layout_of(directory));
  found["seen"] = seen(sources);
  found["assumed"] = sources.assumed;
  found["not_finite"] = not_finite(files);
  found["vision_only"] = sources.vision_only;
  found["name"] = config.name;
  found["parameters"] = weights.parameters;
  found["dtypes"] = weights.dtypes;
  found["config"] = open_clip_config_json(config);
  found["cloc"] = cloc_config_json(config.cloc);
  found["region_heads"] = part.has_heads;
  found["quantization"] = part.quantized ? Json("int8") : Json(nullptr);
  found["tokenizer"] =
      sources.vision_only ? Json(nullptr) : inspect_tokenizer(directory, config.text, hints);
  found["about"] = part.about;
  return found;
}

Json inspect_checkpoint(const fs::path& directory) {
  const Checkpoint checkpoint = open_checkpoint(directory);  // throws when a file is not whole
  Json found;
  found["step"] = checkpoint.state.step;
  found["samples"] = checkpoint.state.samples;
  found["seed"] = checkpoint.state.seed;
  found["whole"] = true;
  found["model"] = inspect_model(directory / "model");
  return found;
}

Json last_line_of(const fs::path& path) {
  if (!fs::exists(path)) return nullptr;
  std::string text = read_file(path);
  while (text.ends_with('\n')) text.pop_back();
  const size_t at = text.rfind('\n');
  const std::string line = at == std::string::npos ? text : text.substr(at + 1);
  return line.empty() ? Json(nullptr) : parse_json(line, path.string());
}

Json inspect_run(const fs::path& directory) {
  Json found;
  Json names = Json::array();
  for (const auto& path : list_checkpoints(directory)) names.push_back(path.filename().string());
  found["checkpoints"] = std::move(names);
  found["last_metrics"] = last_line_of(directory / "metrics.jsonl");
  found["model"] = layout_of(directory / "model") ? inspect_model(directory / "model") : Json();
  return found;
}

Json inspect_folder(const fs::path& path, const ModelHints& hints) {
  if (layout_of(path)) return with_kind(path, "model", inspect_model(path, hints));
  if (fs::exists(path / "state.json"))
    return with_kind(path, "checkpoint", inspect_checkpoint(path));
  if (fs::exists(path / "metrics.jsonl") || fs::exists(path / "checkpoints"))
    return with_kind(path, "run", inspect_run(path));
  if (!shards_in(path).empty()) return inspect_shards(path);
  if (wants_to_be_model(path)) refuse_no_model(path);
  throw Error::input("neither a model, a checkpoint, a run nor a folder of shards", path.string(),
                     "name files, or a folder OpenCLOC wrote");
}

// Adds what the file is as a model, where it is one.
Json with_model(const fs::path& path, Json found, const ModelHints& hints) {
  if (layout_of(path)) found["model"] = inspect_model(path, hints);
  return found;
}

}  // namespace

Json inspect_weights(const fs::path& path, const std::string& architecture) {
  const ModelHints hints{architecture};
  if (fs::is_directory(path)) return inspect_folder(path, hints);
  const std::string name = path.filename().string();
  if (name.ends_with(".safetensors"))
    return with_kind(path, "safetensors", with_model(path, inspect_safetensors(path), hints));
  if (name.ends_with(".gguf"))
    return with_kind(path, "gguf", with_model(path, inspect_gguf(path), hints));
  return with_kind(path, "torch",
                   with_model(path, inspect_tensors(path, open_weights(path)), hints));
}

}  // namespace opencloc::cli
