#include "opencloc/checkpoint/file/stored_tensors.h"

#include <algorithm>
#include <fstream>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"
#include "opencloc/base/not_fetched.h"
#include "opencloc/checkpoint/file/gguf.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/file/torch_checkpoint.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexEnd = ".index.json";
constexpr uint64_t kMaxIndexBytes = uint64_t{64} << 20;

StoredTensors open_safetensors(const fs::path& path) {
  const auto file = std::make_shared<const SafetensorsFile>(path);
  std::vector<StoredTensor> tensors;
  for (const auto& info : file->tensors()) {
    tensors.push_back({info.name, to_string(info.type), info.shape,
                       [file, &info] { return file->tensor(info); }});
  }
  return {path.string(), std::move(tensors)};
}

// {"weight_map": {"NAME": "FILE"}}: transformers' index of shards.
StoredTensors open_shards(const fs::path& index) {
  const std::string where = index.string();
  const Json json = parse_json(read_file(index, kMaxIndexBytes), where);
  const Json& map = json_at(json, "weight_map", where);
  if (!map.is_object()) throw Error::input("weight_map is no object", where, "get the file again");
  std::vector<std::string> files;
  for (const auto& [name, file] : map.items()) {
    const std::string shard = file.is_string() ? file.get<std::string>() : "";
    if (shard.empty() || fs::path(shard).filename() != shard || shard == "..") {
      throw Error::input("the shard of '" + name + "' is not the name of a file beside the index",
                         where, "get the index again: it is damaged or hostile");
    }
    files.push_back(shard);
  }
  std::ranges::sort(files);
  files.erase(std::unique(files.begin(), files.end()), files.end());
  std::vector<StoredTensor> tensors;
  for (const auto& file : files) {
    const StoredTensors shard = open_weights(index.parent_path() / file);
    tensors.insert(tensors.end(), shard.tensors().begin(), shard.tensors().end());
  }
  StoredTensors all(where, std::move(tensors));
  for (const auto& [name, file] : map.items()) {
    if (all.find(name) == nullptr) {
      throw Error::input("tensor '" + name + "' is not in its shard", where,
                         "copy all shards of the model together");
    }
  }
  return all;
}

std::vector<std::byte> first_bytes(const fs::path& path) {
  std::vector<std::byte> bytes(256);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(file.gcount()));
  return bytes;
}

}  // namespace

StoredTensors::StoredTensors(std::string path, std::vector<StoredTensor> tensors)
    : path_(std::move(path)), tensors_(std::move(tensors)) {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (!index_.emplace(tensors_[i].name, i).second) {
      throw Error::input("the tensor '" + tensors_[i].name + "' is there twice", path_,
                         "check where the files come from");
    }
  }
}

const StoredTensor* StoredTensors::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

StoredTensors StoredTensors::renamed(
    const std::function<std::string(const std::string&)>& rename) const {
  std::vector<StoredTensor> tensors = tensors_;
  for (auto& tensor : tensors) tensor.name = rename(tensor.name);
  StoredTensors others(path_, std::move(tensors));
  others.note_ = note_;
  return others;
}

StoredTensors open_weights(const fs::path& path) {
  if (path.string().ends_with(kIndexEnd)) return open_shards(path);
  const auto start = first_bytes(path);
  if (start.empty() && fs::is_regular_file(path))
    throw Error::input("is empty", path.string(), "get the file again");
  require_fetched(start, path);
  if (looks_like_gguf(start)) return open_gguf(path)->stored();
  if (looks_like_torch_file(start)) return open_torch_checkpoint(path);
  return open_safetensors(path);
}

fs::path find_weights(const fs::path& directory, std::span<const char* const> names) {
  for (const char* name : names) {
    if (fs::exists(directory / name)) return directory / name;
  }
  return {};
}

}  // namespace opencloc
