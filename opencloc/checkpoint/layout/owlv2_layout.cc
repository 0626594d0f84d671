#include "opencloc/checkpoint/layout/owlv2_layout.h"

#include <string>
#include <string_view>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"
#include "opencloc/checkpoint/layout/hf_config.h"
#include "opencloc/checkpoint/layout/hf_layout.h"
#include "opencloc/checkpoint/layout/weights.h"
#include "opencloc/checkpoint/layout/wrapped_names.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/layers/initial.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTowers = "owlv2.";

// transformers leaves out what has OWLv2's default, which is not CLIP's.
Json with_owlv2_defaults(const Json& json) {
  Json full = json;
  const auto fill = [&full](const char* part, const Json& defaults) {
    Json merged = defaults;
    if (const auto found = full.find(part); found != full.end() && found->is_object())
      merged.update(*found);
    full[part] = std::move(merged);
  };
  fill("vision_config", {{"image_size", 768}, {"patch_size", 16}});
  fill("text_config", {{"max_position_embeddings", 16}, {"eos_token_id", 49407}});
  return full;
}

StoredAs naming(const std::string& name) {
  const bool tower = name.starts_with("visual.") || name.starts_with("text.");
  if (!tower) return {{name == "logit_scale" ? std::string(kTowers) + name : name}};
  StoredAs stored = hf_layout::naming(name.starts_with("text.") ? name.substr(5) : name);
  for (auto& part : stored.names) {
    // OWLv2 spells right what CLIP does not.
    if (const size_t at = part.find("pre_layrnorm"); at != std::string::npos)
      part.replace(at, std::string_view("pre_layrnorm").size(), "pre_layernorm");
    part.insert(0, kTowers);
  }
  return stored;
}

// Constants of older versions.
bool no_parameter(const std::string& name) {
  return name.ends_with(".position_ids") || name == "box_bias";
}

}  // namespace

namespace owlv2_layout {

bool found(const fs::path& directory) {
  const fs::path path = directory / "config.json";
  if (!fs::exists(path)) return false;
  const Json json = read_json(path);
  return json.is_object() && json_string(json, "model_type", path.string(), "") == "owlv2";
}

ModelConfig read_config(const fs::path& directory) {
  const fs::path path = directory / "config.json";
  Json json = with_owlv2_defaults(read_json(path));
  // The one freedom a CLIP config.json does not have: the text tower's MLP of any width.
  Json& text = json["text_config"];
  const std::string where = path.string() + ": text_config";
  const int64_t width = json_int(text, "hidden_size", where, 512);
  const int64_t mlp_width = json_int(text, "intermediate_size", where, 2048);
  text["intermediate_size"] = 4 * width;
  ModelConfig config = hf_model_config(json, path.string());
  config.text.mlp_ratio = static_cast<double>(mlp_width) / static_cast<double>(width);
  if (config.embed_dim != config.text.width) {
    throw Error::input("projection_dim differs from the text tower's hidden_size", path.string(),
                       "this model is not an OWLv2 that OpenCLOC implements");
  }
  const fs::path other = directory / "preprocessor_config.json";
  if (!fs::exists(other)) return config;
  const Json preprocess = read_json(other);
  for (const auto& [key, values] :
       {std::pair{"image_mean", &config.preprocess.mean}, {"image_std", &config.preprocess.std}}) {
    const auto given = preprocess.find(key);
    if (given == preprocess.end() || !given->is_array() || given->size() != 3) continue;
    for (size_t i = 0; i < 3; ++i) (*values)[i] = (*given)[i].get<float>();
  }
  return config;
}

}  // namespace owlv2_layout

LoadedOwlv2 load_owlv2(const fs::path& directory, int64_t image_size) {
  if (!owlv2_layout::found(directory)) {
    throw Error::input(
        "is not an OWLv2 directory (config.json with \"model_type\": \"owlv2\")",
        directory.string(),
        "name a folder saved by transformers' save_pretrained, or another setting 'detector_kind'");
  }
  constexpr const char* kWeightsFiles[] = {"model.safetensors", "model.safetensors.index.json",
                                           "pytorch_model.bin", "pytorch_model.bin.index.json"};
  const fs::path weights = find_weights(directory, kWeightsFiles);
  if (weights.empty()) {
    throw Error::input("no model.safetensors", directory.string(),
                       "save the model with save_pretrained()");
  }
  const initial::FromFiles no_draws;
  LoadedOwlv2 loaded;
  loaded.model = Owlv2(owlv2_layout::read_config(directory));
  NamedTensors parameters;
  for (const auto& item : loaded.model->named_parameters())
    parameters.emplace_back(item.key(), item.value());
  const auto stored = without_wrappers(open_weights(weights),
                                       {"owlv2.vision_model.embeddings.patch_embedding.weight"});
  load_weights(stored, parameters, naming, no_parameter);
  if (image_size > 0) loaded.model = at_resolution(loaded.model, image_size);
  loaded.model->eval();
  loaded.tokenizer = load_tokenizer_if_any(directory);
  if (loaded.tokenizer)
    check_tokenizer(loaded.model->config().text, *loaded.tokenizer, directory.string());
  return loaded;
}

}  // namespace opencloc
