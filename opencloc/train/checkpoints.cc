#include "opencloc/train/checkpoints.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <utility>

#include <zlib.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kFormat = 1;  // of state.json
constexpr const char* kBeside = "beside.safetensors";
constexpr const char* kMend = "resume from another checkpoint, or use the setting 'resume=auto'";

uint64_t crc32_of(const fs::path& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
}

// Every file below `folder`, by relative path.
Json describe_files(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  Json files = Json::array();
  for (const auto& path : paths) {
    files.push_back({{"path", fs::relative(path, folder).string()},
                     {"bytes", fs::file_size(path)},
                     {"crc32", crc32_of(path)}});
  }
  return files;
}

void check_files(const Json& files, const fs::path& folder) {
  for (const Json& file : files) {
    const fs::path path = folder / json_at(file, "path", folder.string()).get<std::string>();
    std::error_code missing;
    const auto bytes = fs::file_size(path, missing);
    if (missing) throw Error::input("checkpoint without this file", path.string(), kMend);
    if (bytes != json_at(file, "bytes", folder.string()).get<uint64_t>()) {
      throw Error::input("checkpoint file cut short (" + std::to_string(bytes) + " bytes)",
                         path.string(), kMend);
    }
    if (crc32_of(path) != json_at(file, "crc32", folder.string()).get<uint64_t>()) {
      throw Error::input("checkpoint file damaged (checksum differs)", path.string(), kMend);
    }
  }
}

}  // namespace

Json train_state_to_json(const TrainState& state) {
  return {{"format", kFormat},
          {"step", state.step},
          {"samples", state.samples},
          {"seed", state.seed},
          {"position", sampler_position_to_json(state.position)},
          {"data_sizes", state.data_sizes},
          {"objective", state.objective},
          {"metrics_bytes", state.metrics_bytes},
          {"config", state.config}};
}

TrainState train_state_from_json(const Json& json, const std::string& where) {
  TrainState state;
  state.step = json_int(json, "step", where, -1);
  state.samples = json_int(json, "samples", where, -1);
  if (state.step < 0 || state.samples < 0) throw Error::input("not a checkpoint", where, kMend);
  state.seed = json_at(json, "seed", where).get<uint64_t>();
  state.position = sampler_position_from_json(json_at(json, "position", where), where);
  state.data_sizes = json_at(json, "data_sizes", where).get<std::vector<uint64_t>>();
  // Runs of before there were other objectives call it by what it was.
  state.objective = json_at(json, json.contains("objective") ? "objective" : "filter", where);
  state.metrics_bytes = json_at(json, "metrics_bytes", where).get<uint64_t>();
  state.config = json_string(json, "config", where, "");
  return state;
}

namespace {

// The N of "step-N", or -1.
int64_t step_of(const fs::path& path) {
  const std::string name = path.filename().string();
  constexpr std::string_view kPrefix = "step-";
  if (!name.starts_with(kPrefix)) return -1;
  int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return error == std::errc() && stop == end ? step : -1;
}

}  // namespace

void save_checkpoint(const fs::path& run, const TrainState& state,
                     const std::function<void(const fs::path&)>& save_model,
                     const SavedTensors& tensors) {
  const fs::path path = run / "checkpoints" / ("step-" + std::to_string(state.step));
  write_folder(path, [&](const fs::path& folder) {
    save_model(folder / "model");
    write_safetensors(folder / "optimizer.safetensors", tensors.moments);
    if (!tensors.beside.empty()) write_safetensors(folder / kBeside, tensors.beside);
    Json json = train_state_to_json(state);
    json["files"] = describe_files(folder);
    write_file(folder / "state.json", dump_json(json, 1));
  });
}

Checkpoint open_checkpoint(const fs::path& path) {
  const fs::path state_path = path / "state.json";
  if (!fs::exists(state_path)) throw Error::input("not a checkpoint", path.string(), kMend);
  const Json json = read_json(state_path);
  const std::string where = state_path.string();
  try {
    if (json_int(json, "format", where, 0) != kFormat) {
      throw Error::input("checkpoint of another version of opencloc", where, kMend);
    }
    check_files(json_at(json, "files", where), path);
    return {path, train_state_from_json(json, where)};
  } catch (const Json::exception& error) {
    throw Error::input(std::string("not a checkpoint's state (") + error.what() + ")", where,
                       kMend);
  }
}

NamedTensors read_moments(const Checkpoint& checkpoint) {
  const SafetensorsFile file(checkpoint.path / "optimizer.safetensors");
  NamedTensors moments;
  for (const auto& info : file.tensors()) moments.emplace_back(info.name, file.tensor(info));
  return moments;
}

void read_beside(const Checkpoint& checkpoint, const NamedTensors& tensors) {
  if (tensors.empty()) return;
  const fs::path path = checkpoint.path / kBeside;
  const auto differs = [&](const std::string& what) {
    return Error::input(what, path.string(),
                        "go on with the settings that the run began with, or begin a new one");
  };
  if (!fs::exists(path)) throw differs("the checkpoint has no weights beside the model");
  const SafetensorsFile file(path);
  const torch::NoGradGuard no_grad;
  for (auto [name, tensor] : tensors) {
    const auto* info = file.find(name);
    if (info == nullptr) throw differs("no weights '" + name + "'");
    const auto stored = file.tensor(*info);
    if (stored.sizes() != tensor.sizes()) throw differs("'" + name + "' has another shape");
    tensor.copy_(stored);
  }
}

std::optional<Checkpoint> find_checkpoint(const fs::path& run, const std::string& resume) {
  if (resume == "none") return std::nullopt;
  if (resume != "auto" && resume != "latest") return open_checkpoint(resume);
  for (const auto& path : list_checkpoints(run)) {
    try {
      return open_checkpoint(path);
    } catch (const Error& error) {
      log::warn("checkpoint passed over: {}", error.what());
    }
  }
  if (resume == "latest") {
    throw Error::input("no whole checkpoint", (run / "checkpoints").string(),
                       "train first, or use the setting 'resume=auto'");
  }
  return std::nullopt;
}

std::vector<fs::path> list_checkpoints(const fs::path& run) {
  std::vector<fs::path> paths;
  const fs::path folder = run / "checkpoints";
  if (!fs::is_directory(folder)) return paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory() && step_of(entry.path()) >= 0) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end(),
            [](const auto& a, const auto& b) { return step_of(a) > step_of(b); });
  return paths;
}

void prune_checkpoints(const fs::path& run, int64_t keep) {
  const auto paths = list_checkpoints(run);
  if (keep <= 0) return;
  for (size_t i = static_cast<size_t>(keep); i < paths.size(); ++i) {
    // state.json goes first: a folder half removed is no checkpoint.
    std::error_code error;
    fs::remove(paths[i] / "state.json", error);
    fs::remove_all(paths[i], error);
    if (error) log::warn("cannot remove {}: {}", paths[i].string(), error.message());
  }
}

}  // namespace opencloc
