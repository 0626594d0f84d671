#include "opencloc/cli/inspect_paths.h"

#include <algorithm>

#include "opencloc/base/error.h"
#include "opencloc/cli/tensor_parts.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/image/inspect.h"

namespace opencloc::cli {
namespace {

namespace fs = std::filesystem;

bool is_shard_name(const std::string& name) {
  return name.ends_with(".tar") || name.ends_with(".tar.gz") || name.ends_with(".tgz") ||
         name.ends_with(".tar.zst");
}

Json count_shards(const std::vector<std::string>& paths) {
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

// Endings of weights, and of what lies beside them in models, checkpoints and runs.
bool is_of_a_model(const std::string& name) {
  constexpr std::string_view kEndings[] = {".safetensors", ".gguf", ".pt",   ".pth",
                                           ".bin",         ".ckpt", ".json", ".jsonl"};
  return std::any_of(std::begin(kEndings), std::end(kEndings),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

}  // namespace

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

Json inspect_shards(const fs::path& path) {
  if (!fs::is_directory(path)) return with_kind(path, "shard", count_shards({path.string()}));
  const auto shards = shards_in(path);
  Json found = {{"shards", shards.size()}};
  found.update(count_shards(shards));
  return with_kind(path, "shards", found);
}

bool may_hold_tensors(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!fs::is_directory(path))
    return is_of_a_model(name) && !name.ends_with(".json") && !name.ends_with(".jsonl");
  bool shards = false;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string inside = entry.path().filename().string();
    if (is_of_a_model(inside) || inside == "checkpoints") return true;
    shards = shards || (!inside.starts_with('.') && is_shard_name(inside));
  }
  return !shards;
}

Json inspect_path(const fs::path& path, const std::string& architecture) {
  if (!fs::exists(path)) throw Error::input("no such file", path.string(), "check the path");
  if (may_hold_tensors(path)) return tensor_parts().inspect_weights(path, architecture);
  const std::string name = path.filename().string();
  if (fs::is_directory(path) || is_shard_name(name)) return inspect_shards(path);
  return inspect_image_file(path);
}

}  // namespace opencloc::cli
