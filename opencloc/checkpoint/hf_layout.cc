#include "opencloc/checkpoint/hf_layout.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/clip_names.h"
#include "opencloc/checkpoint/hf_config.h"
#include "opencloc/checkpoint/siglip_layout.h"
#include "opencloc/checkpoint/vision_only.h"

namespace opencloc::hf_layout {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "config.json";
constexpr const char* kPreprocessorFile = "preprocessor_config.json";
constexpr const char* kWeightsFiles[] = {"model.safetensors", "model.safetensors.index.json",
                                         "pytorch_model.bin", "pytorch_model.bin.index.json"};
constexpr const char* kModelType = "clip";
constexpr const char* kVisionModelType = "clip_vision_model";
constexpr const char* kProjection = "visual_projection.weight";

constexpr Renamed kSingles[] = {
    {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
    {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
    {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
    {"visual.ln_pre.", "vision_model.pre_layrnorm."},  // transformers spells it so
    {"visual.ln_post.", "vision_model.post_layernorm."},
    {"visual.proj", kProjection},
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final.", "text_model.final_layer_norm."},
    {"text_projection", "text_projection.weight"},
    {"logit_scale", "logit_scale"},
};
constexpr Renamed kInBlock[] = {
    {"ln_1.", "layer_norm1."},
    {"ln_2.", "layer_norm2."},
    {"attn.out_proj.", "self_attn.out_proj."},
    {"mlp.c_fc.", "mlp.fc1."},
    {"mlp.c_proj.", "mlp.fc2."},
};
constexpr ClipNames kNames = {
    "Hugging Face",
    kSingles,
    "vision_model.encoder.layers.",
    "text_model.encoder.layers.",
    kInBlock,
    {"self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."},
};

// Buffers of older versions.
bool no_parameter(const std::string& name) { return name.ends_with(".embeddings.position_ids"); }

std::string model_type(const fs::path& directory) {
  const fs::path path = directory / kConfigFile;
  if (!fs::exists(path)) return {};
  const Json json = read_json(path);
  return json.is_object() ? json_string(json, "model_type", path.string(), "") : "";
}

StoredTensors open(const fs::path& directory) {
  const fs::path path = find_weights(directory, kWeightsFiles);
  if (path.empty()) {
    throw Error::input(std::string("no ") + kWeightsFiles[0], directory.string(),
                       "save the model with save_pretrained()");
  }
  // transformers 5 names a vision model's parts without the prefix.
  constexpr std::string_view kPrefix = "vision_model.";
  constexpr std::string_view kBare[] = {"embeddings.", "pre_layrnorm.", "encoder.",
                                        "post_layernorm."};
  return open_weights(path).renamed([&](const std::string& name) {
    const bool bare =
        std::ranges::any_of(kBare, [&](auto start) { return name.starts_with(start); });
    return bare ? std::string(kPrefix) + name : name;
  });
}

// The sections of a CLIPModel's config.json that a vision model's describes.
ModelConfig vision_config(const Json& json, const fs::path& directory, const std::string& where) {
  const Json as_clip = {
      {"vision_config", json},
      {"text_config", {{"hidden_act", json_string(json, "hidden_act", where, "quick_gelu")}}}};
  ModelConfig config = hf_model_config(as_clip, where);
  config.text = placeholder_text();
  const StoredTensors weights = open(directory);
  const StoredTensor* projection = weights.find(kProjection);  // CLIPVisionModelWithProjection
  config.embed_dim = projection != nullptr && projection->shape.size() == 2 ? projection->shape[0]
                                                                            : config.vision.width;
  return config;
}

Json vision_config_json(const ModelConfig& config) {
  Json json = {{"architectures", {"CLIPVisionModel"}}};
  json.update(hf_config_json(config)["vision_config"]);
  return json;
}

bool is_siglip(const fs::path& directory) {
  return siglip_layout::is_siglip(read_json(directory / kConfigFile));
}

}  // namespace

StoredAs naming(const std::string& parameter) { return stored_as(kNames, parameter); }

bool found(const fs::path& directory) {
  const std::string type = model_type(directory);
  return type == kModelType || type == kVisionModelType || (!type.empty() && is_siglip(directory));
}

Sources sources(const fs::path& directory) {
  Sources files;
  files.config = directory / kConfigFile;
  files.weights = find_weights(directory, kWeightsFiles);
  files.vision_only = model_type(directory) == kVisionModelType;
  return files;
}

ModelConfig read_config(const fs::path& directory) {
  const fs::path path = directory / kConfigFile;
  const Json json = read_json(path);
  auto config = siglip_layout::is_siglip(json) ? siglip_layout::model_config(json, path.string())
                : model_type(directory) == kVisionModelType
                    ? vision_config(json, directory, path.string())
                    : hf_model_config(json, path.string());
  if (const fs::path other = directory / kPreprocessorFile; fs::exists(other)) {
    config.preprocess =
        hf_preprocess_config(read_json(other), config.vision.image_size, other.string());
  }
  config.validate(path.string());
  return config;
}

void load_towers(const fs::path& directory, Cloc& model) {
  const StoredTensors weights = open(directory);
  if (model_type(directory) != kVisionModelType) {
    const auto names = siglip_layout::fits(model->config()) ? siglip_layout::naming : naming;
    return load_weights(weights, model->clip_weights(), names, no_parameter);
  }
  const bool projected = weights.find(kProjection) != nullptr;
  load_weights(weights, vision_weights(model, {.with_projection = projected}), naming,
               no_parameter);
  if (!projected) project_plainly(model);
}

void write(const fs::path& directory, const Cloc& model, const TowerOptions& options) {
  const auto& config = model->config();
  Json json, preprocessor = hf_preprocessor_json(config);
  NamedTensors stored;
  if (options.vision_only) {
    json = vision_config_json(config);
    stored = stored_weights(vision_weights(model, {}), naming);
  } else if (siglip_layout::fits(config)) {
    json = siglip_layout::config_json(config);
    preprocessor = siglip_layout::preprocessor_json(config, std::move(preprocessor));
    stored = siglip_layout::stored(model->clip_weights());
  } else {
    json = hf_config_json(config);
    stored = stored_weights(model->clip_weights(), naming);
  }
  write_file(directory / kConfigFile, dump_json(json, 2) + '\n');
  write_file(directory / kPreprocessorFile, dump_json(preprocessor, 2) + '\n');
  write_safetensors(directory / kWeightsFiles[0], cast(std::move(stored), options.dtype),
                    {{"format", "pt"}});
}

}  // namespace opencloc::hf_layout
