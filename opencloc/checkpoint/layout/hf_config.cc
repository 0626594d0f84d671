#include "opencloc/checkpoint/layout/hf_config.h"

#include <cmath>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/layout/layout.h"

namespace opencloc {
namespace {

constexpr int64_t kBilinear = 2, kBicubic = 3;  // Pillow's numbers of its filters
constexpr int64_t kLegacyEos = 2;               // "pool at the highest id"
constexpr const char* kModeKey = "opencloc_resize_mode";
constexpr const char* kFillKey = "opencloc_fill_color";

void require(bool holds, const std::string& what, std::string_view where) {
  if (!holds) throw Error::input(what, where, "this model is not a CLIP that OpenCLOC implements");
}

// vision_config or text_config; older files repeat (and override) them in *_config_dict.
Json section(const Json& json, const char* key, const char* legacy_key, std::string_view where) {
  Json merged = Json::object();
  for (const char* name : {key, legacy_key}) {
    const auto found = json.find(name);
    if (found == json.end() || found->is_null()) continue;
    require(found->is_object(), std::string("key '") + name + "' is not an object", where);
    merged.update(*found);
  }
  return merged;
}

// What both towers share.
struct Tower {
  int64_t width, mlp_width, layers, heads;
  bool quick_gelu;
};

Tower tower(const Json& json, const Tower& defaults, const std::string& where) {
  Tower result = defaults;
  result.width = json_int(json, "hidden_size", where, defaults.width);
  result.mlp_width = json_int(json, "intermediate_size", where, defaults.mlp_width);
  result.layers = json_int(json, "num_hidden_layers", where, defaults.layers);
  result.heads = json_int(json, "num_attention_heads", where, defaults.heads);
  const std::string act = json_string(json, "hidden_act", where, "quick_gelu");
  require(act == "gelu" || act == "quick_gelu", "hidden_act \"" + act + "\" is not supported",
          where);
  result.quick_gelu = act == "quick_gelu";
  const double epsilon = json_number(json, "layer_norm_eps", where, 1e-5);
  require(std::abs(epsilon - 1e-5) < 1e-9, "layer_norm_eps is not 1e-5", where);
  require(result.width > 0 && result.heads > 0 && result.width % result.heads == 0,
          "hidden_size is not a multiple of num_attention_heads", where);
  return result;
}

// A number, or {"height": n, "width": n}, or {"shortest_edge": n}. 0 when it is none of these.
int64_t square_side(const Json& value, std::string_view where) {
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_object()) return 0;
  if (value.contains("shortest_edge")) return json_int(value, "shortest_edge", where, 0);
  const int64_t height = json_int(value, "height", where, 0);
  return height == json_int(value, "width", where, -1) ? height : 0;
}

void read_floats(const Json& json, const char* key, std::array<float, 3>& values,
                 std::string_view where) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return;
  require(found->is_array() && found->size() == 3, std::string(key) + " is not three numbers",
          where);
  for (size_t i = 0; i < 3; ++i) {
    require((*found)[i].is_number(), std::string(key) + " is not three numbers", where);
    values[i] = (*found)[i].get<float>();
  }
}

Json tower_json(const char* model_type, const ModelConfig& config, const Tower& shape) {
  Json json;
  json["model_type"] = model_type;
  json["hidden_size"] = shape.width;
  json["intermediate_size"] = shape.mlp_width;
  json["num_hidden_layers"] = shape.layers;
  json["num_attention_heads"] = shape.heads;
  json["hidden_act"] = shape.quick_gelu ? "quick_gelu" : "gelu";
  json["layer_norm_eps"] = 1e-5;
  json["projection_dim"] = config.embed_dim;
  return json;
}

}  // namespace

ModelConfig hf_model_config(const Json& json, std::string_view where) {
  require(json.is_object(), "not a JSON object", where);
  const std::string place(where);
  const std::string vision_place = place + ": vision_config", text_place = place + ": text_config";
  const Json vision = section(json, "vision_config", "vision_config_dict", where);
  const Json text = section(json, "text_config", "text_config_dict", where);
  const Tower image_tower = tower(vision, {768, 3072, 12, 12, true}, vision_place);
  const Tower text_tower = tower(text, {512, 2048, 12, 8, true}, text_place);

  ModelConfig config;
  config.embed_dim = json_int(json, "projection_dim", where, 512);
  require(image_tower.quick_gelu == text_tower.quick_gelu, "the towers' hidden_act differ", where);
  config.quick_gelu = image_tower.quick_gelu;

  config.vision.image_size = json_int(vision, "image_size", vision_place, 224);
  config.vision.patch_size = json_int(vision, "patch_size", vision_place, 32);
  config.vision.width = image_tower.width;
  config.vision.layers = image_tower.layers;
  config.vision.head_width = image_tower.width / image_tower.heads;
  config.vision.mlp_ratio =
      static_cast<double>(image_tower.mlp_width) / static_cast<double>(image_tower.width);
  require(json_int(vision, "num_channels", vision_place, 3) == 3, "num_channels is not 3",
          vision_place);

  config.text.context_length = json_int(text, "max_position_embeddings", text_place, 77);
  config.text.vocab_size = json_int(text, "vocab_size", text_place, 49408);
  config.text.width = text_tower.width;
  config.text.heads = text_tower.heads;
  config.text.layers = text_tower.layers;
  require(text_tower.mlp_width == 4 * text_tower.width,
          "intermediate_size is not 4 times hidden_size", text_place);
  const int64_t eos = json_int(text, "eos_token_id", text_place, kLegacyEos);
  const bool highest = eos == kLegacyEos || eos == config.text.vocab_size - 1;
  config.text.eos_id = highest ? -1 : eos;
  config.validate(where);
  return config;
}

PreprocessConfig hf_preprocess_config(const Json& json, int64_t image_size,
                                      std::string_view where) {
  require(json.is_object(), "not a JSON object", where);
  PreprocessConfig config;
  read_floats(json, "image_mean", config.mean, where);
  read_floats(json, "image_std", config.std, where);
  // do_convert_rgb may be false: pictures are RGB here anyway.
  for (const char* step : {"do_resize", "do_rescale"}) {
    require(json_bool(json, step, where, true), std::string(step) + " is false", where);
  }
  if (!json_bool(json, "do_normalize", where, true)) {
    config.mean = {0, 0, 0};
    config.std = {1, 1, 1};
  }
  const double factor = json_number(json, "rescale_factor", where, 1.0 / 255);
  require(std::abs(factor * 255 - 1) < 1e-6, "rescale_factor is not 1/255", where);
  const int64_t filter = json_int(json, "resample", where, kBicubic);
  require(filter == kBicubic || filter == kBilinear,
          "resample " + std::to_string(filter) + " is neither bilinear nor bicubic", where);
  config.bicubic = filter == kBicubic;

  const bool crop = json_bool(json, "do_center_crop", where, true);
  const auto size = json.find("size");
  const bool given = size != json.end() && !size->is_null();
  const bool squash = given && size->is_object() && !size->contains("shortest_edge");
  if (given) {
    require(square_side(*size, where) == image_size,
            "size " + dump_json(*size) + " is not the model's image size", where);
  }
  if (const auto cut = json.find("crop_size"); crop && cut != json.end() && !cut->is_null()) {
    require(square_side(*cut, where) == image_size,
            "crop_size " + dump_json(*cut) + " is not the model's image size", where);
  }
  require(crop || squash, "pictures are neither cut nor squashed to a square", where);
  config.resize_mode = squash ? CanvasRule::kSquash : CanvasRule::kShortest;
  if (json_string(json, kModeKey, where, "") == to_string(CanvasRule::kLongest))
    config.resize_mode = CanvasRule::kLongest;
  const int64_t fill = json_int(json, kFillKey, where, 0);
  require(fill >= 0 && fill <= 255, std::string(kFillKey) + " is not in 0..255", where);
  config.fill_color = static_cast<uint8_t>(fill);
  return config;
}

Json hf_config_json(const ModelConfig& config) {
  require_openai_clip(config, "Hugging Face layout");
  const int64_t eos = config.text.eos_id >= 0 ? config.text.eos_id : config.text.vocab_size - 1;
  if (eos == kLegacyEos) {
    throw Error::input(
        "this model's texts end with id 2, which transformers reads as \"the highest "
        "id\"",
        "Hugging Face layout", "use the open_clip layout");
  }
  const auto mlp_width =
      std::llround(config.vision.mlp_ratio * static_cast<double>(config.vision.width));
  Json vision = tower_json("clip_vision_model", config,
                           {config.vision.width, mlp_width, config.vision.layers,
                            config.vision.heads(), config.quick_gelu});
  vision["image_size"] = config.vision.image_size;
  vision["patch_size"] = config.vision.patch_size;
  Json text = tower_json("clip_text_model", config,
                         {config.text.width, 4 * config.text.width, config.text.layers,
                          config.text.heads, config.quick_gelu});
  text["max_position_embeddings"] = config.text.context_length;
  text["vocab_size"] = config.text.vocab_size;
  text["eos_token_id"] = eos;
  Json json;
  json["architectures"] = {"CLIPModel"};
  json["model_type"] = "clip";
  json["projection_dim"] = config.embed_dim;
  json["logit_scale_init_value"] = 2.6592;
  json["vision_config"] = std::move(vision);
  json["text_config"] = std::move(text);
  return json;
}

Json hf_preprocessor_json(const ModelConfig& config) {
  // The numbers in their shortest form come with the open_clip form.
  const Json preprocess = open_clip_config_json(config)["preprocess_cfg"];
  const int64_t side = config.vision.image_size;
  const Json square = {{"height", side}, {"width", side}};
  const bool squash = config.preprocess.resize_mode == CanvasRule::kSquash;
  Json json;
  json["image_processor_type"] = "CLIPImageProcessor";
  json["do_resize"] = true;
  json["size"] = squash ? square : Json{{"shortest_edge", side}};
  json["do_center_crop"] = !squash;
  json["crop_size"] = square;
  json["resample"] = config.preprocess.bicubic ? kBicubic : kBilinear;
  json["do_convert_rgb"] = true;
  json["do_rescale"] = true;
  json["rescale_factor"] = 1.0 / 255;
  json["do_normalize"] = true;
  json["image_mean"] = preprocess["mean"];
  json["image_std"] = preprocess["std"];
  if (config.preprocess.resize_mode == CanvasRule::kLongest) {
    json[kModeKey] = to_string(CanvasRule::kLongest);
    json[kFillKey] = config.preprocess.fill_color;
  }
  return json;
}

}  // namespace opencloc
