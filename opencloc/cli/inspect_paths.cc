#include "opencloc/cli/inspect_paths.h"

#include <algorithm>
#include <map>
#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/checkpoint/region_part.h"
#include "opencloc/checkpoint/safetensors.h"
#include "opencloc/data/shard_reader.h"
#include "opencloc/image/inspect.h"
#include "opencloc/train/checkpoints.h"

namespace opencloc::cli {
namespace {

namespace fs = std::filesystem;

bool is_shard_name(const std::string& name) {
  return name.ends_with(".tar") || name.ends_with(".tar.gz") || name.ends_with(".tgz") ||
         name.ends_with(".tar.zst");
}

Json inspect_shards(const std::vector<std::string>& paths) {
  SkipCounter skips(0);
  int64_t samples = 0, regions = 0, texts = 0, labels = 0;
  uint64_t bytes = 0;
  for (const auto& path : paths) {
    bytes += fs::file_size(path);
    ShardReader reader(path, skips);
    for (Record record; reader.next(record);) {
      ++samples;
      regions += static_cast<int64_t>(record.regions.size());
      texts += !image_text(record).empty();
      labels += record.label.has_value();
    }
  }
  Json found;
  found["samples"] = samples;
  found["regions"] = regions;
  found["texts"] = texts;
  found["labels"] = labels;
  found["bytes"] = bytes;
  found["skipped"] = skips.json();
  return found;
}

struct Weights {
  int64_t parameters = 0;
  std::map<std::string, int64_t> dtypes;  // tensors of each

  void add(const SafetensorsFile& file) {
    for (const auto& tensor : file.tensors()) {
      parameters += static_cast<int64_t>((tensor.end - tensor.begin) / bytes_of(tensor.type));
      ++dtypes[to_string(tensor.type)];
    }
  }
};

Json inspect_safetensors(const fs::path& path) {
  const SafetensorsFile file(path);
  Weights weights;
  weights.add(file);
  Json found;
  found["bytes"] = fs::file_size(path);
  found["parameters"] = weights.parameters;
  found["dtypes"] = weights.dtypes;
  Json metadata = Json::object();
  for (const auto& [key, value] : file.metadata()) metadata[key] = value;
  found["metadata"] = std::move(metadata);
  Json tensors = Json::array();
  for (const auto& tensor : file.tensors()) {
    Json line;
    line["name"] = tensor.name;
    line["dtype"] = to_string(tensor.type);
    line["shape"] = tensor.shape;
    tensors.push_back(std::move(line));
  }
  found["tensors"] = std::move(tensors);
  return found;
}

Json inspect_tokenizer(const fs::path& directory, const TextConfig& config) {
  const auto tokenizer = load_tokenizer_if_any(directory);
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

Json inspect_model(const fs::path& directory) {
  const ModelConfig config = read_model_config(directory);
  const RegionPart part = read_region_part(directory);
  Weights weights;
  for (const auto& path : weight_files(directory)) weights.add(SafetensorsFile(path));
  Json found;
  found["layout"] = to_string(*layout_of(directory));
  found["name"] = config.name;
  found["parameters"] = weights.parameters;
  found["dtypes"] = weights.dtypes;
  found["config"] = open_clip_config_json(config);
  found["cloc"] = cloc_config_json(config.cloc);
  found["region_heads"] = part.has_heads;
  found["tokenizer"] = inspect_tokenizer(directory, config.text);
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

std::vector<std::string> shards_in(const fs::path& directory) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with('.') && is_shard_name(name)) paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

Json with_kind(const fs::path& path, const char* kind, const Json& found) {
  Json result;
  result["path"] = path.string();
  result["kind"] = kind;
  result.update(found);
  return result;
}

Json inspect_folder(const fs::path& path) {
  if (layout_of(path)) return with_kind(path, "model", inspect_model(path));
  if (fs::exists(path / "state.json"))
    return with_kind(path, "checkpoint", inspect_checkpoint(path));
  if (fs::exists(path / "metrics.jsonl") || fs::exists(path / "checkpoints"))
    return with_kind(path, "run", inspect_run(path));
  if (const auto shards = shards_in(path); !shards.empty()) {
    Json found = {{"shards", shards.size()}};
    found.update(inspect_shards(shards));
    return with_kind(path, "shards", found);
  }
  throw Error::input("neither a model, a checkpoint, a run nor a folder of shards", path.string(),
                     "name files, or a folder OpenCLOC wrote");
}

}  // namespace

Json inspect_path(const fs::path& path) {
  if (!fs::exists(path)) throw Error::input("no such file", path.string(), "check the path");
  if (fs::is_directory(path)) return inspect_folder(path);
  const std::string name = path.filename().string();
  if (name.ends_with(".safetensors"))
    return with_kind(path, "safetensors", inspect_safetensors(path));
  if (is_shard_name(name)) return with_kind(path, "shard", inspect_shards({path.string()}));
  return inspect_image_file(path);
}

}  // namespace opencloc::cli
