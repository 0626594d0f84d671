#include "opencloc/checkpoint/layout/onnx_layout.h"

#include <cmath>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/checkpoint/onnx/outline.h"
#include "opencloc/checkpoint/onnx/towers.h"

namespace opencloc::onnx_layout {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kConfigVersion = 1;

[[noreturn]] void refuse_onnx_folder(const fs::path& directory) {
  throw Error::input("holds ONNX graphs, which are written and not read", directory.string(),
                     "name the model they were made from");
}

// The side of a tensor as JSON: a number, or the name of a free one.
Json sides(const onnx::Shape& shape) {
  Json list = Json::array();
  for (const auto& side : shape) {
    const auto* length = std::get_if<int64_t>(&side);
    list.push_back(length != nullptr ? Json(*length) : Json(std::get<std::string>(side)));
  }
  return list;
}

Json ports(const std::vector<onnx::Port>& ports) {
  Json object = Json::object();
  for (const auto& port : ports) object[port.name] = sides(port.shape);
  return object;
}

Json texts_json(const TextConfig& text, const Tokenizer* tokenizer) {
  Json json = {{"context_length", text.context_length}, {"vocab_size", text.vocab_size}};
  if (tokenizer == nullptr) return json;
  const auto start = tokenizer->start_id();
  json["start_id"] = start ? Json(*start) : Json(nullptr);
  json["end_id"] = tokenizer->end_id();
  json["pad_id"] = tokenizer->pad_id();
  return json;
}

double exp_of(const torch::Tensor& scalar) { return std::exp(scalar.item<double>()); }

}  // namespace

bool found(const fs::path& directory) {
  return fs::exists(directory / kVisualFile) && fs::exists(directory / kConfigFile);
}
Sources sources(const fs::path& directory) { refuse_onnx_folder(directory); }
ModelConfig read_config(const fs::path& directory) { refuse_onnx_folder(directory); }
void load_towers(const fs::path& directory, Cloc&) { refuse_onnx_folder(directory); }

void write(const fs::path& directory, const Cloc& model, const TowerOptions& options) {
  write_parted(directory, model, options, onnx::WriteOptions().bytes_within);
}

void write_parted(const fs::path& directory, const Cloc& model, const TowerOptions& options,
                  uint64_t bytes_within) {
  const auto& config = model->config();
  onnx::require_onnx_towers(config, directory.filename().string());
  if (options.dtype != Dtype::kF32) {
    throw Error::input("ONNX graphs are written in f32", directory.filename().string(),
                       "leave the setting 'dtype' out; ONNX Runtime and OpenVINO have tools that "
                       "make smaller ones of them");
  }
  Json files = Json::object();
  const auto put = [&](const char* name, const onnx::Graph& graph) {
    graph.write(directory / name, {OPENCLOC_VERSION, bytes_within});
    const auto outline = onnx::read_outline(directory / name);
    files[name] = {{"inputs", ports(outline.inputs)}, {"outputs", ports(outline.outputs)}};
  };
  Json json;
  json["format_version"] = kConfigVersion;
  json["opencloc_version"] = OPENCLOC_VERSION;
  json["opset"] = onnx::kOpset;
  json["name"] = config.name;
  json["embed_dim"] = config.embed_dim;
  json["image_size"] = config.vision.image_size;
  json["preprocess_cfg"] = open_clip_config_json(config)["preprocess_cfg"];
  put(kVisualFile, onnx::visual_graph(model));
  if (!options.vision_only) {
    put(kTextualFile, onnx::textual_graph(model));
    json["text"] = texts_json(config.text, options.tokenizer);
    json["similarity_scale"] = exp_of(model->logit_scale);
    if (model->logit_bias.defined()) json["similarity_bias"] = model->logit_bias.item<double>();
    if (config.region_part) {
      json["region_similarity_scale"] = exp_of(model->region_logit_scale);
      put(kPrompterFile, onnx::box_graph(model));
      if (config.cloc.region_extractor == RegionExtractor::kPrompter)
        put(kPointsFile, onnx::point_graph(model));
      put(kGroundingFile, onnx::grounding_graph(model));
    }
  }
  json["files"] = std::move(files);
  write_file(directory / kConfigFile, dump_json(json, 2) + '\n');
}

Totals totals(const fs::path& directory) {
  Totals sum;
  for (const char* name : {kVisualFile, kTextualFile, kPrompterFile, kPointsFile, kGroundingFile}) {
    if (!fs::exists(directory / name)) continue;
    for (const auto& stored : onnx::read_outline(directory / name).stored) {
      ++sum.tensors;
      sum.values += stored.values();
    }
  }
  return sum;
}

}  // namespace opencloc::onnx_layout
