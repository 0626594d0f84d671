#include "opencloc/model/config/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "opencloc/base/error.h"
#include "opencloc/model/config/architectures.h"
#include "opencloc/model/config/config_keys.h"
#include "opencloc/model/config/config_towers.h"

namespace opencloc {
namespace {

// open_clip's keys that mean nothing to the model, or only their default is supported.
const KeyRule kModelRules[] = {
    {"nonscalar_logit_scale", Json(false)},
    {"output_dict", std::nullopt},
    {"cast_dtype", std::nullopt},
};

const KeyRule kPreprocessRules[] = {{"mode", Json("RGB")}};

std::array<float, 3> three_floats(const Json& value, const char* key, const std::string& where) {
  std::array<float, 3> result{};
  if (value.is_number()) {
    result.fill(value.get<float>());
    return result;
  }
  if (!value.is_array() || value.size() != 3 ||
      !std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_number(); })) {
    throw Error::input(std::string("key '") + key + "' is not three numbers", where,
                       "give one number for each of red, green and blue");
  }
  for (size_t i = 0; i < 3; ++i) result[i] = value[i].get<float>();
  return result;
}

CanvasRule canvas_rule(const std::string& name, const std::string& where) {
  for (const auto rule : {CanvasRule::kLongest, CanvasRule::kShortest, CanvasRule::kSquash}) {
    if (name == to_string(rule)) return rule;
  }
  throw Error::input("resize_mode \"" + name + "\" is not known", where,
                     "use \"longest\", \"shortest\" or \"squash\"");
}

// open_clip writes the size as one number or as [height, width].
void check_size(const Json& value, int64_t image_size, const std::string& where) {
  const auto fits = [&](const Json& v) { return v.is_number() && v.get<double>() == image_size; };
  const bool ok = value.is_array() ? value.size() == 2 && fits(value[0]) && fits(value[1])
                                   : value.is_null() || fits(value);
  if (!ok) {
    throw Error::input("size " + dump_json(value) + " differs from the model's image_size " +
                           std::to_string(image_size),
                       where,
                       "pictures are square and of the model's size: correct one of the two");
  }
}

PreprocessConfig preprocess_from_json(const Json& json, int64_t image_size,
                                      const std::string& where) {
  KeyReader keys(json, where);
  PreprocessConfig preprocess;
  if (const Json* mean = keys.find("mean")) preprocess.mean = three_floats(*mean, "mean", where);
  if (const Json* std = keys.find("std")) preprocess.std = three_floats(*std, "std", where);
  preprocess.resize_mode =
      canvas_rule(keys.text("resize_mode", to_string(preprocess.resize_mode)), where);
  const int64_t fill = keys.integer("fill_color", preprocess.fill_color);
  if (fill < 0 || fill > 255)
    throw Error::input("fill_color is not in 0..255", where, "correct the value");
  preprocess.fill_color = static_cast<uint8_t>(fill);
  const std::string interpolation = keys.text("interpolation", "bicubic");
  if (interpolation != "bicubic" && interpolation != "bilinear") {
    throw Error::input("interpolation \"" + interpolation + "\" is not supported", where,
                       "use \"bicubic\" or \"bilinear\"");
  }
  preprocess.bicubic = interpolation == "bicubic";
  if (const Json* size = keys.find("size")) check_size(*size, image_size, where);
  keys.finish(kPreprocessRules);
  return preprocess;
}

// The number whose shortest decimal form is the float's: 0.48145466, not 0.48145467042922974.
double shortest(float value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  double number = 0;
  std::from_chars(text, end, number);
  return number;
}

Json json_floats(const std::array<float, 3>& values) {
  return Json::array({shortest(values[0]), shortest(values[1]), shortest(values[2])});
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

void ModelConfig::validate(std::string_view where) const {
  const auto require = [&](bool holds, const std::string& what) {
    if (!holds) throw Error::input(what, where, "correct the model's configuration");
  };
  // Upper bounds keep products of sizes far from overflow; no CLIP comes near them.
  const auto within = [&](int64_t value, int64_t low, int64_t high, const char* key) {
    require(value >= low && value <= high, std::string(key) + " is " + std::to_string(value) +
                                               ", not in " + std::to_string(low) + ".." +
                                               std::to_string(high));
  };
  within(embed_dim, 1, 65536, "embed_dim");
  within(vision.image_size, 1, 16384, "vision_cfg.image_size");
  within(vision.patch_size, 1, 1024, "vision_cfg.patch_size");
  within(vision.width, 4, 65536, "vision_cfg.width");
  within(vision.layers, 1, 1024, "vision_cfg.layers");
  within(vision.head_width, 1, 65536, "vision_cfg.head_width");
  within(cloc.encoding_grid, 0, 16384, "cloc.encoding_grid");
  within(text.context_length, 2, 65536, "text_cfg.context_length");
  within(text.vocab_size, 3, 10'000'000, "text_cfg.vocab_size");
  within(text.width, 1, 65536, "text_cfg.width");
  within(text.heads, 1, 65536, "text_cfg.heads");
  within(text.layers, 1, 1024, "text_cfg.layers");
  within(text.eos_id, -1, text.vocab_size - 1, "text_cfg.eos_id");
  require(vision.image_size % vision.patch_size == 0,
          "vision_cfg.image_size is not a multiple of patch_size");
  require(vision.width % vision.head_width == 0,
          "vision_cfg.width is not a multiple of head_width");
  require(vision.width % 4 == 0, "vision_cfg.width is not a multiple of 4");
  require(text.width % text.heads == 0, "text_cfg.width is not a multiple of heads");
  const auto whole_mlp = [&](double ratio, int64_t width) {
    const double mlp_width = ratio * static_cast<double>(width);
    // open_clip rounds its ratios (4.3637 for 6144 / 1408) and cuts the product off.
    require(ratio > 0 && ratio <= 64 && mlp_width >= 1 &&
                std::trunc(mlp_width) == std::round(mlp_width),
            "mlp_ratio times width is not close to a whole number above 0");
  };
  whole_mlp(vision.mlp_ratio, vision.width);
  whole_mlp(cloc.mlp_ratio, vision.width);
  whole_mlp(text.mlp_ratio, text.width);
  for (const double eps : {vision.layer_norm_eps, text.layer_norm_eps})
    require(eps > 0 && eps < 1, "norm_kwargs.eps is not in (0, 1)");
  require(vision.class_token || vision.pool != ImagePool::kClassToken,
          "vision_cfg.pool_type is \"tok\" without a class_token");
  require(vision.projection || vision.width == embed_dim,
          "vision_cfg.proj_type is \"none\", and width is not embed_dim");
  require(vision.projection || !vision.projection_bias,
          "vision_cfg.proj_bias does not go with proj_type \"none\"");
  within(vision.rotary_grid, 0, 16384, "vision_cfg.rotary_grid");
  require(vision.rotary_grid == 0 || vision.head_width % 4 == 0,
          "vision_cfg.rotary_grid needs a head_width that is a multiple of 4");
  within(vision.map_heads, 0, 65536, "vision_cfg.map_heads");
  require(
      vision.pool == ImagePool::kAttention || (vision.map_heads == 0 && vision.map_mlp_ratio == 0),
      "vision_cfg.map_heads and map_mlp_ratio go with pool_type \"map\" only");
  require(vision.map_heads == 0 || vision.width % vision.map_heads == 0,
          "vision_cfg.width is not a multiple of map_heads");
  if (vision.map_mlp_ratio != 0) whole_mlp(vision.map_mlp_ratio, vision.width);
  require(!vision.ln_post_after_pool || vision.pool != ImagePool::kAttention,
          "vision_cfg.final_ln_after_pool does not go with pool_type \"map\"");
  require(!vision.attentional_pool || (vision.pool == ImagePool::kClassToken && vision.projection),
          "vision_cfg.attentional_pool goes with pool_type \"tok\" and proj_type \"linear\" alone");
  within(vision.attn_pooler_heads, 1, 65536, "vision_cfg.attn_pooler_heads");
  within(vision.attn_pooler_queries, 2, 65536, "vision_cfg.attn_pooler_queries");
  require(!vision.attentional_pool || embed_dim % vision.attn_pooler_heads == 0,
          "embed_dim is not a multiple of vision_cfg.attn_pooler_heads");
  require(!text.embed_cls || text.causal, "text_cfg.embed_cls does not go with no_causal_mask");
  if (multimodal) {
    within(multimodal->heads, 1, 65536, "multimodal_cfg.heads");
    within(multimodal->layers, 1, 1024, "multimodal_cfg.layers");
    require(custom_text && vision.attentional_pool && text.embed_cls,
            "multimodal_cfg without custom_text, vision_cfg.attentional_pool and "
            "text_cfg.embed_cls");
    require(multimodal->width == embed_dim && text.width == embed_dim,
            "multimodal_cfg.width, text_cfg.width and embed_dim are not equal");
    require(multimodal->width % multimodal->heads == 0,
            "multimodal_cfg.width is not a multiple of heads");
    require(text.context_length >= 3, "text_cfg.context_length has no room for a word");
  }
  require(cloc.box_encoding == BoxEncoding::kCentre || cloc.joint_box_token,
          "cloc.box_encoding is \"integrated\" without a joint_box_token");
  require(!quick_gelu || (!vision.gelu_tanh && !text.gelu_tanh),
          "quick_gelu does not go with act_kwargs.approximate \"tanh\"");
  require(std::isfinite(init_logit_scale) && std::isfinite(init_logit_bias.value_or(0)),
          "init_logit_scale or init_logit_bias is not finite");
  for (size_t i = 0; i < 3; ++i) {
    require(std::isfinite(preprocess.mean[i]) && std::isfinite(preprocess.std[i]) &&
                preprocess.std[i] > 0,
            "preprocess_cfg.mean or std is not usable");
  }
}

ModelConfig model_config_from_json(const Json& json, std::string_view where) {
  const std::string place(where);
  KeyReader top(json, place);
  const Json* wrapped = top.find("model_cfg");
  const Json* preprocess = top.find("preprocess_cfg");
  const Json* cloc = top.find("cloc");
  if (wrapped != nullptr) top.finish({});
  const std::string model_place = wrapped != nullptr ? place + ": model_cfg" : place;

  ModelConfig config;
  KeyReader keys(wrapped != nullptr ? *wrapped : json, model_place);
  if (wrapped == nullptr) keys.allow({"model_cfg", "preprocess_cfg", "cloc"});
  keys.at("embed_dim");
  config.embed_dim = keys.integer("embed_dim", 0);
  config.quick_gelu = keys.boolean("quick_gelu", false);
  config.custom_text = keys.boolean("custom_text", false);
  config.init_logit_scale = keys.number("init_logit_scale", kInitialLogitScale);
  if (keys.find("init_logit_bias") != nullptr)
    config.init_logit_bias = keys.number("init_logit_bias", 0);
  config.vision = vision_from_json(keys.at("vision_cfg"), model_place + ".vision_cfg");
  config.text = text_from_json(keys.at("text_cfg"), model_place + ".text_cfg");
  if (const Json* multimodal = keys.find("multimodal_cfg"))
    config.multimodal = multimodal_from_json(*multimodal, model_place + ".multimodal_cfg");
  keys.finish(kModelRules);
  if (preprocess != nullptr) {
    config.preprocess =
        preprocess_from_json(*preprocess, config.vision.image_size, place + ": preprocess_cfg");
  }
  if (cloc != nullptr) config.cloc = cloc_config_from_json(*cloc, place + ": cloc");
  config.validate(where);
  return config;
}

ModelConfig load_model_config(const std::string& name_or_path) {
  for (const auto& architecture : embedded_architectures()) {
    if (architecture.name != name_or_path) continue;
    auto config =
        model_config_from_json(parse_json(architecture.json, architecture.name), architecture.name);
    config.name = name_or_path;
    return config;
  }
  if (!std::filesystem::is_regular_file(name_or_path)) {
    throw Error::input("no model of that name and no such file", "'" + name_or_path + "'",
                       "name a JSON file or one of " + joined(known_model_names()));
  }
  return model_config_from_json(read_json(name_or_path), name_or_path);
}

std::vector<std::string> known_model_names() {
  std::vector<std::string> names;
  for (const auto& architecture : embedded_architectures()) names.emplace_back(architecture.name);
  return names;
}

Json open_clip_config_json(const ModelConfig& config) {
  Json model;
  model["embed_dim"] = config.embed_dim;
  model["vision_cfg"] = vision_json(config.vision);
  model["text_cfg"] = text_json(config.text);
  if (config.multimodal) model["multimodal_cfg"] = multimodal_json(*config.multimodal, config.text);
  if (config.quick_gelu) model["quick_gelu"] = true;
  if (config.custom_text) model["custom_text"] = true;
  if (config.init_logit_scale != kInitialLogitScale)
    model["init_logit_scale"] = config.init_logit_scale;
  if (config.init_logit_bias) model["init_logit_bias"] = *config.init_logit_bias;
  Json preprocess;
  preprocess["mean"] = json_floats(config.preprocess.mean);
  preprocess["std"] = json_floats(config.preprocess.std);
  preprocess["interpolation"] = config.preprocess.bicubic ? "bicubic" : "bilinear";
  preprocess["resize_mode"] = to_string(config.preprocess.resize_mode);
  preprocess["fill_color"] = config.preprocess.fill_color;
  Json result;
  result["model_cfg"] = std::move(model);
  result["preprocess_cfg"] = std::move(preprocess);
  return result;
}

bool open_clip_knows(const ModelConfig& config) {
  const auto& vision = config.vision;
  return vision.pool != ImagePool::kMax && vision.class_token && !vision.patch_bias &&
         vision.projection && !vision.projection_bias && vision.rotary_grid == 0 &&
         vision.pool != ImagePool::kAttention &&
         !config.text.correct_cls_mask;  // an argument of its tower, and no key of its files
}

bool is_openai_clip(const ModelConfig& config) {
  const auto& vision = config.vision;
  const auto& text = config.text;
  const auto plain = [](const auto& tower) {
    return !tower.gelu_tanh && tower.layer_norm_eps == VisionConfig().layer_norm_eps;
  };
  return open_clip_knows(config) && vision.ln_pre && vision.pool == ImagePool::kClassToken &&
         plain(vision) && plain(text) && text.causal && text.pool == TextPool::kEnd &&
         !vision.attentional_pool && !text.embed_cls && !text.projection_bias &&
         text.mlp_ratio == 4.0 && !config.init_logit_bias;
}

Json cloc_config_json(const ClocConfig& config) {
  Json json;
  json["region_extractor"] = to_string(config.region_extractor);
  json["pool"] = to_string(config.pool);
  json["joint_box_token"] = config.joint_box_token;
  json["position_image_tokens"] = config.position_image_tokens;
  json["mlp_ratio"] = config.mlp_ratio;
  if (config.encoding_grid > 0) json["encoding_grid"] = config.encoding_grid;
  // Programs of before refuse these keys.
  if (config.quality_head) json["quality_head"] = true;
  if (config.hard_negatives) json["hard_negatives"] = true;
  if (config.several_layers) json["several_layers"] = true;
  if (config.box_encoding != BoxEncoding::kCentre)
    json["box_encoding"] = to_string(config.box_encoding);
  return json;
}

ClocConfig cloc_config_from_json(const Json& json, std::string_view where) {
  const std::string place(where);
  KeyReader keys(json, place);
  ClocConfig config;
  const std::string extractor = keys.text("region_extractor", to_string(config.region_extractor));
  const std::string pool = keys.text("pool", to_string(config.pool));
  if (extractor != "prompter" && extractor != "roi_align") {
    throw Error::input("region_extractor \"" + extractor + "\" is not known", where,
                       "use \"prompter\" or \"roi_align\"");
  }
  if (pool != "all" && pool != "prompt")
    throw Error::input("pool \"" + pool + "\" is not known", where, "use \"all\" or \"prompt\"");
  config.region_extractor =
      extractor == "prompter" ? RegionExtractor::kPrompter : RegionExtractor::kRoiAlign;
  config.pool = pool == "all" ? Pool::kAll : Pool::kPrompt;
  config.joint_box_token = keys.boolean("joint_box_token", config.joint_box_token);
  config.position_image_tokens =
      keys.boolean("position_image_tokens", config.position_image_tokens);
  config.mlp_ratio = keys.number("mlp_ratio", config.mlp_ratio);
  config.encoding_grid = keys.integer("encoding_grid", config.encoding_grid);
  config.quality_head = keys.boolean("quality_head", config.quality_head);
  config.hard_negatives = keys.boolean("hard_negatives", config.hard_negatives);
  config.several_layers = keys.boolean("several_layers", config.several_layers);
  const std::string encoding = keys.text("box_encoding", to_string(config.box_encoding));
  if (encoding != "centre" && encoding != "integrated") {
    throw Error::input("box_encoding \"" + encoding + "\" is not known", where,
                       "use \"centre\" or \"integrated\"");
  }
  config.box_encoding = encoding == "centre" ? BoxEncoding::kCentre : BoxEncoding::kIntegrated;
  if (config.box_encoding == BoxEncoding::kIntegrated && !config.joint_box_token) {
    throw Error::input("box_encoding \"integrated\" is of the joint token, which is off", where,
                       "switch joint_box_token on");
  }
  keys.finish({});
  return config;
}

const char* to_string(Pool pool) { return pool == Pool::kAll ? "all" : "prompt"; }

const char* to_string(RegionExtractor extractor) {
  return extractor == RegionExtractor::kPrompter ? "prompter" : "roi_align";
}

const char* to_string(BoxEncoding encoding) {
  return encoding == BoxEncoding::kCentre ? "centre" : "integrated";
}

const char* to_string(CanvasRule rule) {
  switch (rule) {
    case CanvasRule::kLongest:
      return "longest";
    case CanvasRule::kShortest:
      return "shortest";
    case CanvasRule::kCorner:
      return "corner";
    case CanvasRule::kSquash:
      break;
  }
  return "squash";
}

}  // namespace opencloc
