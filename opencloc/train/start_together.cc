#include "opencloc/train/start_together.h"

#include <map>
#include <sstream>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/base/temporary.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// "lr = 0.1" -> "lr"; the whole line where there is no value.
std::string name_in(const std::string& line) { return line.substr(0, line.find(" = ")); }

// Lines of `other` that `own` has not, and the other way round, by name.
std::string first_difference(const std::string& first, const std::string& other) {
  std::map<std::string, std::string> values;
  for (const auto& line : lines_of(first)) values[name_in(line)] = line;
  for (const auto& line : lines_of(other)) {
    const auto it = values.find(name_in(line));
    if (it == values.end()) return "'" + line + "', which rank 0 has not";
    if (it->second != line) return "'" + line + "', rank 0 has '" + it->second + "'";
    values.erase(it);
  }
  return "not '" + values.begin()->second + "', which rank 0 has";
}

Json describe(const TrainedParts& parts) {
  const auto& config = parts.model->config();
  Json files = Json::array();
  for (const auto& file : parts.tokenizer->files()) files.push_back(file.name);
  return {{"model", open_clip_config_json(config)},
          {"cloc", cloc_config_json(config.cloc)},
          {"name", config.name},
          {"region_part", config.region_part},
          {"files", files}};
}

class ScratchFolder {
 public:
  ScratchFolder() : path_(temporary_beside(fs::temp_directory_path() / "opencloc")) {
    fs::create_directories(path_);
  }
  ~ScratchFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  const fs::path path_;
};

Cloc model_from(const Json& description) {
  const std::string where = "what rank 0 sent";
  ModelConfig config = model_config_from_json(description.at("model"), where);
  config.cloc = cloc_config_from_json(description.at("cloc"), where);
  config.name = description.at("name");
  config.region_part = description.at("region_part");
  return Cloc(config);
}

// The tokenizer is made from its files again.
std::shared_ptr<const Tokenizer> share_tokenizer(dist::Group& group, const Json& names,
                                                 std::shared_ptr<const Tokenizer> own) {
  const ScratchFolder folder;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto bytes =
        dist::broadcast(group, group.is_first() ? own->files()[i].bytes : std::string());
    if (!group.is_first()) write_file(folder.path() / names[i].get<std::string>(), bytes);
  }
  return group.is_first() ? own : load_tokenizer(folder.path());
}

}  // namespace

void require_equal(dist::Group& group, const std::string& lines) {
  if (group.size() == 1) return;
  const auto all = dist::gather(group, lines);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    throw Error::input(
        "rank " + std::to_string(rank) + " has " + first_difference(all[0], all[rank]), "",
        "start all processes with the same command, configuration and data");
  }
}

TrainedParts share_parts(dist::Group& group, TrainedParts parts) {
  if (group.size() == 1) return parts;
  const auto told =
      dist::broadcast(group, group.is_first() ? dump_json(describe(parts)) : std::string());
  const Json description = parse_json(told, "what rank 0 sent");
  if (!group.is_first()) parts.model = model_from(description);
  parts.tokenizer = share_tokenizer(group, description.at("files"), parts.tokenizer);
  NamedTensors tensors = parts.model->clip_weights();
  for (auto& weight : parts.model->region_weights()) tensors.push_back(weight);
  share_tensors(group, tensors);
  return parts;
}

void share_tensors(dist::Group& group, const NamedTensors& tensors) {
  if (group.size() == 1) return;
  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) {
    auto values = tensor.detach().contiguous();
    group.broadcast(values);
    if (!values.is_alias_of(tensor)) tensor.detach().copy_(values);
  }
}

NamedTensors share_moments(dist::Group& group, const NamedTensors& parameters, NamedTensors moments,
                           const std::string& where) {
  if (group.size() == 1) return moments;
  const std::map<std::string, torch::Tensor> known(moments.begin(), moments.end());
  NamedTensors shared;
  for (const auto& [name, parameter] : parameters) {
    for (const char* kind : {"m.", "v."}) {
      auto values = torch::zeros_like(parameter.detach());
      if (group.is_first()) {
        const auto it = known.find(kind + name);
        if (it == known.end() || it->second.sizes() != values.sizes())
          throw Error::input(
              "optimizer state '" + (kind + name) + "' is missing or has another shape", where,
              "resume with the model it was saved from");
        values.copy_(it->second);
      }
      shared.emplace_back(kind + name, values);
    }
  }
  share_tensors(group, shared);
  return shared;
}

}  // namespace opencloc
