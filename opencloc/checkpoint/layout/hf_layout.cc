#include "opencloc/checkpoint/layout/hf_layout.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/layout/clip_names.h"
#include "opencloc/checkpoint/layout/hf_config.h"
#include "opencloc/checkpoint/layout/siglip_layout.h"
#include "opencloc/checkpoint/layout/vision_only.h"
#include "opencloc/checkpoint/layout/wrapped_names.h"

namespace opencloc::hf_layout {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "config.json";
constexpr const char* kPreprocessorFile = "preprocessor_config.json";
constexpr const char* kProcessorFile = "processor_config.json";  // transformers 5 writes it alone
constexpr const char* kWeightsFiles[] = {"model.safetensors", "model.safetensors.index.json",
                                         "pytorch_model.bin", "pytorch_model.bin.index.json"};
constexpr const char* kModelType = "clip";
constexpr const char* kVisionModelType = "clip_vision_model";
constexpr const char* kProjection = "visual_projection.weight";
constexpr std::string_view kTextTokens = "text_model.embeddings.token_embedding.weight";

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
  if (!json.is_object()) return {};
  const std::string type = json_string(json, "model_type", path.string(), "");
  const auto classes = json.find("architectures");
  if (!type.empty() || classes == json.end() || !classes->is_array() || classes->empty())
    return type;
  // A configuration somebody cut down may name the class alone.
  const Json& name = classes->front();
  if (name == "CLIPModel") return kModelType;
  return name == "CLIPVisionModel" || name == "CLIPVisionModelWithProjection" ? kVisionModelType
                                                                              : "";
}

StoredTensors open(const fs::path& directory) {
  const fs::path path = find_weights(directory, kWeightsFiles);
  if (path.empty()) {
    throw Error::input(std::string("no ") + kWeightsFiles[0], directory.string(),
                       "save the model with save_pretrained()");
  }
  const StoredTensors weights = without_wrappers(
      open_weights(path),
      {"vision_model.embeddings.patch_embedding.weight", "embeddings.patch_embedding.weight"});
  // transformers 5 names a vision model's parts without the prefix.
  constexpr std::string_view kPrefix = "vision_model.";
  constexpr std::string_view kBare[] = {"embeddings.", "pre_layrnorm.", "encoder.",
                                        "post_layernorm."};
  return weights.renamed([&](const std::string& name) {
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

// config.json alone.
ModelConfig read_towers(const fs::path& directory) {
  const fs::path path = directory / kConfigFile;
  const Json json = read_json(path);
  if (siglip_layout::is_siglip(json)) return siglip_layout::model_config(json, path.string());
  if (model_type(directory) == kVisionModelType)
    return vision_config(json, directory, path.string());
  return hf_model_config(json, path.string());
}

bool same_preprocessing(const PreprocessConfig& a, const PreprocessConfig& b) {
  return a.mean == b.mean && a.std == b.std && a.resize_mode == b.resize_mode &&
         a.fill_color == b.fill_color && a.bicubic == b.bicubic;
}

// Does the older file say the same? One that cannot be used does not.
bool says(const fs::path& preprocessor, int64_t image_size, const PreprocessConfig& wanted) {
  const Json json = read_json(preprocessor);
  try {
    return same_preprocessing(hf_preprocess_config(json, image_size, preprocessor.string()),
                              wanted);
  } catch (const Error&) {
    return false;
  }
}

// What the directory says of its pictures.
struct Preprocessing {
  fs::path path;        // empty: nothing
  Json json;            // an image processor's
  std::string assumed;  // empty: nothing
};

// The image processor within processor_config.json, where there is one.
Json nested_processor(const fs::path& path) {
  if (!fs::exists(path)) return nullptr;
  Json json = read_json(path);
  if (!json.is_object()) throw Error::input("not a JSON object", path.string(), "get it again");
  if (const auto nested = json.find("image_processor"); nested != json.end()) {
    if (nested->is_object()) return *nested;
    if (!nested->is_null()) {
      throw Error::input("image_processor is no object", path.string(), "get the file again");
    }
  }
  return json.contains("image_mean") || json.contains("do_resize") ? json : Json(nullptr);
}

// As transformers 5 reads it: what is nested in processor_config.json comes first.
Preprocessing preprocessing_of(const fs::path& directory, int64_t image_size) {
  const fs::path plain = directory / kPreprocessorFile, outer = directory / kProcessorFile;
  Preprocessing found;
  Json nested = nested_processor(outer);
  if (!nested.is_null()) {
    found = {outer, std::move(nested), {}};
    const auto chosen = hf_preprocess_config(found.json, image_size, outer.string());
    if (fs::exists(plain) && !says(plain, image_size, chosen)) {
      found.assumed = std::string(kProcessorFile) + " and " + kPreprocessorFile +
                      " contradict each other: pictures are prepared as the first says, which is "
                      "what transformers 5 reads; remove the one that is wrong";
    }
  } else if (fs::exists(plain)) {
    found = {plain, read_json(plain), {}};
  } else {
    found.assumed = std::string("neither ") + kPreprocessorFile + " nor " + kProcessorFile +
                    " says how pictures are prepared: taken as " +
                    (is_siglip(directory) ? "SigLIP's (mean and std 0.5, squashed, bicubic)"
                                          : "CLIP's (its mean and std, cut to a square, bicubic)");
  }
  return found;
}

}  // namespace

StoredAs naming(const std::string& parameter) { return stored_as(kNames, parameter); }

bool found(const fs::path& directory) {
  const std::string type = model_type(directory);
  return type == kModelType || type == kVisionModelType || (!type.empty() && is_siglip(directory));
}

fs::path weights_in(const fs::path& directory) { return find_weights(directory, kWeightsFiles); }

Sources sources(const fs::path& directory) {
  Sources files;
  files.config = directory / kConfigFile;
  files.weights = weights_in(directory);
  files.vision_only = model_type(directory) == kVisionModelType;
  const int64_t side = read_towers(directory).vision.image_size;
  if (const auto found = preprocessing_of(directory, side); !found.assumed.empty())
    files.assumed.push_back(found.assumed);
  if (!files.weights.empty()) {
    const StoredTensors weights = open(directory);
    if (!weights.note().empty()) files.assumed.push_back(weights.note());
    if (files.vision_only && has_wrapped(weights, {kTextTokens})) {
      files.assumed.emplace_back(
          "config.json describes an image tower alone: the text tower that lies here is left out");
    }
  }
  return files;
}

ModelConfig read_config(const fs::path& directory) {
  ModelConfig config = read_towers(directory);
  const auto found = preprocessing_of(directory, config.vision.image_size);
  if (!found.path.empty()) {
    config.preprocess =
        hf_preprocess_config(found.json, config.vision.image_size, found.path.string());
  }
  config.validate((directory / kConfigFile).string());
  return config;
}

void load_towers(const fs::path& directory, Cloc& model) {
  const StoredTensors weights = open(directory);
  if (model_type(directory) != kVisionModelType) {
    const auto names = siglip_layout::fits(model->config()) ? siglip_layout::naming : naming;
    return load_weights(weights, model->clip_weights(), names, no_parameter);
  }
  const bool projected = weights.find(kProjection) != nullptr;
  const auto not_of_pictures = [](const std::string& name) {
    return no_parameter(name) || name.starts_with("text_") || name.starts_with("logit_");
  };
  load_weights(weights, vision_weights(model, {.with_projection = projected}), naming,
               not_of_pictures);
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
