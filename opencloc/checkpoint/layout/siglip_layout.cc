#include "opencloc/checkpoint/layout/siglip_layout.h"

#include <array>
#include <cmath>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/layout/hf_layout.h"

namespace opencloc::siglip_layout {
namespace {

constexpr const char* kMend = "this model is not a SigLIP that OpenCLOC implements";

void require(bool holds, const std::string& what, std::string_view where) {
  if (!holds) throw Error::input(what, where, kMend);
}

// vision_config or text_config; both may be missing: all defaults.
Json section(const Json& json, const char* key, std::string_view where) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return Json::object();
  require(found->is_object(), std::string("key '") + key + "' is not an object", where);
  return *found;
}

// What both towers share.
struct Tower {
  int64_t width, mlp_width, layers, heads;
  double layer_norm_eps;
  bool gelu_tanh;
};

Tower read_tower(const Json& json, const std::string& where) {
  Tower tower{};
  tower.width = json_int(json, "hidden_size", where, 768);
  tower.mlp_width = json_int(json, "intermediate_size", where, 3072);
  tower.layers = json_int(json, "num_hidden_layers", where, 12);
  tower.heads = json_int(json, "num_attention_heads", where, 12);
  tower.layer_norm_eps = json_number(json, "layer_norm_eps", where, 1e-6);
  const std::string act = json_string(json, "hidden_act", where, "gelu_pytorch_tanh");
  require(act == "gelu_pytorch_tanh" || act == "gelu",
          "hidden_act \"" + act + "\" is not supported", where);
  tower.gelu_tanh = act == "gelu_pytorch_tanh";
  require(tower.width > 0 && tower.heads > 0 && tower.width % tower.heads == 0,
          "hidden_size is not a multiple of num_attention_heads", where);
  return tower;
}

Json tower_json(const char* model_type, const Tower& tower) {
  Json json;
  json["model_type"] = model_type;
  json["hidden_size"] = tower.width;
  json["intermediate_size"] = tower.mlp_width;
  json["num_hidden_layers"] = tower.layers;
  json["num_attention_heads"] = tower.heads;
  json["hidden_act"] = tower.gelu_tanh ? "gelu_pytorch_tanh" : "gelu";
  json["layer_norm_eps"] = tower.layer_norm_eps;
  return json;
}

double ratio(const Tower& tower) {
  return static_cast<double>(tower.mlp_width) / static_cast<double>(tower.width);
}
int64_t mlp_width(double ratio_of_width, int64_t width) {
  return std::llround(ratio_of_width * static_cast<double>(width));
}

struct Renamed {
  std::string_view ours;
  std::string_view siglip;
};
// What a CLIPModel has not; the rest is named as there.
constexpr std::array<Renamed, 8> kNames{{
    {"visual.conv1.bias", "vision_model.embeddings.patch_embedding.bias"},
    {"visual.attn_pool.probe", "vision_model.head.probe"},
    {"visual.attn_pool.attn.", "vision_model.head.attention."},
    {"visual.attn_pool.ln.", "vision_model.head.layernorm."},
    {"visual.attn_pool.mlp.c_fc.", "vision_model.head.mlp.fc1."},
    {"visual.attn_pool.mlp.c_proj.", "vision_model.head.mlp.fc2."},
    {"text_projection.", "text_model.head."},
    {"logit_bias", "logit_bias"},
}};

}  // namespace

bool is_siglip(const Json& json) {
  const auto type = json.is_object() ? json.find("model_type") : json.end();
  return type != json.end() && type->is_string() && type->get<std::string>() == "siglip";
}

bool fits(const ModelConfig& config) {
  const auto& vision = config.vision;
  const auto& text = config.text;
  return !vision.class_token && vision.patch_bias && !vision.ln_pre && !vision.projection &&
         vision.pool == ImagePool::kAttention && vision.rotary_grid == 0 && vision.map_heads == 0 &&
         vision.map_mlp_ratio == 0 && !config.quick_gelu && !text.causal &&
         text.pool == TextPool::kLast && text.projection_bias && config.init_logit_bias.has_value();
}

ModelConfig model_config(const Json& json, std::string_view where) {
  const std::string place(where);
  const std::string vision_place = place + ": vision_config", text_place = place + ": text_config";
  const Json vision = section(json, "vision_config", where);
  const Json text = section(json, "text_config", where);
  const Tower image_tower = read_tower(vision, vision_place);
  const Tower text_tower = read_tower(text, text_place);

  ModelConfig config;
  config.embed_dim = image_tower.width;
  config.init_logit_bias = -10;
  auto& v = config.vision;
  v.image_size = json_int(vision, "image_size", vision_place, 224);
  v.patch_size = json_int(vision, "patch_size", vision_place, 16);
  v.width = image_tower.width;
  v.layers = image_tower.layers;
  v.head_width = image_tower.width / image_tower.heads;
  v.mlp_ratio = ratio(image_tower);
  v.class_token = v.ln_pre = v.projection = false;
  v.patch_bias = true;
  v.pool = ImagePool::kAttention;
  v.gelu_tanh = image_tower.gelu_tanh;
  v.layer_norm_eps = image_tower.layer_norm_eps;
  require(json_int(vision, "num_channels", vision_place, 3) == 3, "num_channels is not 3",
          vision_place);
  require(json_bool(vision, "vision_use_head", vision_place, true), "vision_use_head is false",
          vision_place);

  auto& t = config.text;
  t.context_length = json_int(text, "max_position_embeddings", text_place, 64);
  t.vocab_size = json_int(text, "vocab_size", text_place, 32000);
  t.width = text_tower.width;
  t.heads = text_tower.heads;
  t.layers = text_tower.layers;
  t.mlp_ratio = ratio(text_tower);
  t.causal = false;
  t.pool = TextPool::kLast;
  t.projection_bias = true;
  t.gelu_tanh = text_tower.gelu_tanh;
  t.layer_norm_eps = text_tower.layer_norm_eps;
  require(json_int(text, "projection_size", text_place, t.width) == config.embed_dim,
          "the texts' projection_size is not the images' hidden_size", text_place);

  config.preprocess.mean = config.preprocess.std = {0.5f, 0.5f, 0.5f};
  config.preprocess.resize_mode = CanvasRule::kSquash;
  config.validate(where);
  return config;
}

Json config_json(const ModelConfig& config) {
  const auto& v = config.vision;
  const auto& t = config.text;
  Json vision =
      tower_json("siglip_vision_model", {v.width, mlp_width(v.mlp_ratio, v.width), v.layers,
                                         v.heads(), v.layer_norm_eps, v.gelu_tanh});
  vision["image_size"] = v.image_size;
  vision["patch_size"] = v.patch_size;
  Json text = tower_json("siglip_text_model", {t.width, mlp_width(t.mlp_ratio, t.width), t.layers,
                                               t.heads, t.layer_norm_eps, t.gelu_tanh});
  text["max_position_embeddings"] = t.context_length;
  text["vocab_size"] = t.vocab_size;
  text["projection_size"] = config.embed_dim;
  Json json;
  json["architectures"] = {"SiglipModel"};
  json["model_type"] = "siglip";
  json["vision_config"] = std::move(vision);
  json["text_config"] = std::move(text);
  return json;
}

Json preprocessor_json(const ModelConfig& config, Json clip_json) {
  // SiglipImageProcessor can only squash; transformers' CLIP one does the rest.
  if (config.preprocess.resize_mode != CanvasRule::kSquash) return clip_json;
  clip_json["image_processor_type"] = "SiglipImageProcessor";
  clip_json["processor_class"] = "SiglipProcessor";
  clip_json.erase("do_center_crop");
  clip_json.erase("crop_size");
  return clip_json;
}

StoredAs naming(const std::string& parameter) {
  for (const auto& entry : kNames) {
    if (parameter.starts_with(entry.ours))
      return {{std::string(entry.siglip) + parameter.substr(entry.ours.size())}};
  }
  return hf_layout::naming(parameter);
}

NamedTensors stored(const NamedTensors& parameters) {
  NamedTensors tensors = stored_weights(parameters, naming);
  for (auto& [name, tensor] : tensors) {
    if (name == "logit_scale" || name == "logit_bias") tensor = tensor.reshape({1});
  }
  return tensors;
}

}  // namespace opencloc::siglip_layout
