#include "opencloc/model/config/config_towers.h"

#include <algorithm>
#include <array>

#include "opencloc/base/error.h"
#include "opencloc/model/config/config_keys.h"
#include "opencloc/model/config/timm_towers.h"

namespace opencloc {
namespace {

constexpr double kLayerNormEps = 1e-5;

// open_clip's keys that the towers either have no use for (anything goes) or support in one value
// only: its default.
const KeyRule kVisionRules[] = {
    {"ls_init_value", Json(nullptr)},
    {"patch_dropout", Json(0.0)},
    {"pos_embed_type", Json("learnable")},
    {"global_average_pool", Json(false)},
    {"input_patchnorm", Json(false)},
    {"block_type", Json("default")},
    {"output_tokens", std::nullopt},          // what open_clip returns, not what it computes
    {"timm_model_pretrained", std::nullopt},  // of timm_model_name
    {"timm_pool", std::nullopt},
    {"timm_proj", std::nullopt},  // also of timm_model_name
    {"timm_proj_bias", std::nullopt},
    {"timm_drop", std::nullopt},
    {"timm_drop_path", std::nullopt},
};

const KeyRule kTextRules[] = {
    {"ls_init_value", Json(nullptr)},
    {"pad_id", Json(kPadId)},
    {"final_ln_after_pool", std::nullopt},  // the norm of a token is the same before and after
    {"proj_type", Json("linear")},
    {"output_tokens", std::nullopt},
    {"hf_tokenizer_name", std::nullopt},  // our tokenizers lie in the model directory
    {"tokenizer_kwargs", std::nullopt},
    {"text_mask", std::nullopt},
    {"hf_model_name", Json("")},
    {"hf_model_pretrained", std::nullopt},  // of hf_model_name
    {"hf_proj_type", std::nullopt},
    {"hf_pooler_type", std::nullopt},
};

const KeyRule kMultimodalRules[] = {
    {"ls_init_value", Json(nullptr)},    {"mlp_ratio", Json(4.0)},  // open_clip reads no other
    {"context_length", std::nullopt},                               // text_cfg's
    {"vocab_size", std::nullopt},                                   // text_cfg's
    {"dim_head", std::nullopt},                                     // no part of the decoder
    {"n_queries", std::nullopt},          // vision_cfg.attn_pooler_queries
    {"attn_pooler_heads", std::nullopt},  // vision_cfg's
    {"output_tokens", std::nullopt},
};

template <typename Value>
struct Named {
  const char* name;
  Value value;
};
constexpr std::array<Named<ImagePool>, 4> kImagePools{{{"tok", ImagePool::kClassToken},
                                                       {"avg", ImagePool::kAverage},
                                                       {"max", ImagePool::kMax},
                                                       {"map", ImagePool::kAttention}}};
constexpr std::array<Named<TextPool>, 3> kTextPools{
    {{"argmax", TextPool::kEnd}, {"first", TextPool::kFirst}, {"last", TextPool::kLast}}};

template <typename Value, size_t N>
Value value_of(const std::array<Named<Value>, N>& table, const std::string& name, const char* key,
               const std::string& where) {
  std::string known;
  for (const auto& entry : table) {
    if (name == entry.name) return entry.value;
    known += (known.empty() ? "\"" : "\", \"") + std::string(entry.name);
  }
  throw Error::input(std::string(key) + " \"" + name + "\" is not supported", where,
                     "use one of " + known + '"');
}

template <typename Value, size_t N>
const char* name_of(const std::array<Named<Value>, N>& table, Value value) {
  return std::find_if(table.begin(), table.end(),
                      [value](const auto& entry) { return entry.value == value; })
      ->name;
}

// norm_kwargs {"eps": 1e-6} and act_kwargs {"approximate": "tanh"}.
double layer_norm_eps(KeyReader& keys, const std::string& where) {
  const Json* found = keys.find("norm_kwargs");
  if (found == nullptr) return kLayerNormEps;
  const std::string place = where + ".norm_kwargs";
  KeyReader inner(*found, place);
  const double eps = inner.number("eps", kLayerNormEps);
  inner.finish({});
  return eps;
}

bool gelu_tanh(KeyReader& keys, const std::string& where) {
  const Json* found = keys.find("act_kwargs");
  if (found == nullptr) return false;
  const std::string place = where + ".act_kwargs";
  KeyReader inner(*found, place);
  const std::string approximate = inner.text("approximate", "none");
  inner.finish({});
  if (approximate != "none" && approximate != "tanh") {
    throw Error::input("approximate \"" + approximate + "\" is not supported", place,
                       "use \"none\" or \"tanh\"");
  }
  return approximate == "tanh";
}

// A tower that timm builds: its name says all of it, other keys may only agree.
const KeyRule kTimmRules[] = {
    {"timm_model_pretrained", std::nullopt},
    {"timm_proj_bias", std::nullopt},
    {"timm_drop", std::nullopt},
    {"timm_drop_path", std::nullopt},
    {"patch_dropout", Json(0.0)},
    {"output_tokens", std::nullopt},
};

VisionConfig vision_of_timm(const std::string& name, KeyReader& keys, const std::string& where) {
  const TimmTower* tower = timm_tower(name);
  if (tower == nullptr) {
    throw Error::input("timm_model_name \"" + name + "\" is not supported", where,
                       "use one of " + known_timm_towers());
  }
  const int64_t size = tower->vision.image_size;
  if (keys.integer("image_size", size) != size) {
    throw Error::input("image_size is not that of " + name, where,
                       "use " + std::to_string(size) + ": open_clip builds no other");
  }
  const auto only = [&](const std::string& key, const std::string& value,
                        const std::string& wanted) {
    if (value == wanted) return;
    const std::string all = wanted.empty() ? "null" : '"' + wanted + '"';
    throw Error::input(key + " \"" + value + "\" is not supported with " + name, where,
                       "only " + all + " is: this is another model");
  };
  only("timm_pool", keys.text("timm_pool", tower->pool), tower->pool);
  // Without the key open_clip has a linear layer after timm's own.
  only("timm_proj", keys.has("timm_proj") ? keys.text("timm_proj", "") : "linear",
       tower->projection);
  keys.finish(kTimmRules);
  return tower->vision;
}

template <typename Config>
void put_shared(const Config& config, Json& json) {
  if (config.gelu_tanh) json["act_kwargs"] = {{"approximate", "tanh"}};
  if (config.layer_norm_eps != kLayerNormEps)
    json["norm_kwargs"] = {{"eps", config.layer_norm_eps}};
}

}  // namespace

VisionConfig vision_from_json(const Json& json, const std::string& where) {
  KeyReader keys(json, where);
  const std::string timm = keys.text("timm_model_name", "");
  if (!timm.empty()) return vision_of_timm(timm, keys, where);
  VisionConfig vision;
  vision.image_size = keys.integer("image_size", vision.image_size);
  vision.patch_size = keys.integer("patch_size", vision.patch_size);
  vision.width = keys.integer("width", vision.width);
  vision.layers = keys.integer("layers", vision.layers);
  vision.head_width = keys.integer("head_width", vision.head_width);
  vision.mlp_ratio = keys.number("mlp_ratio", vision.mlp_ratio);
  vision.class_token = keys.boolean("class_token", true);
  vision.patch_bias = keys.boolean("patch_bias", false);
  vision.ln_pre = !keys.boolean("no_ln_pre", false);
  vision.pool = value_of(kImagePools, keys.text("pool_type", "tok"), "pool_type", where);
  vision.ln_post_after_pool = keys.boolean("final_ln_after_pool", false);
  const std::string projection = keys.text("proj_type", "linear");
  if (projection != "linear" && projection != "none") {
    throw Error::input("proj_type \"" + projection + "\" is not supported", where,
                       "use \"linear\" or \"none\"");
  }
  vision.projection = projection == "linear";
  vision.projection_bias = keys.boolean("proj_bias", false);
  vision.rotary_grid = keys.integer("rotary_grid", 0);
  vision.map_heads = keys.integer("map_heads", 0);
  vision.map_mlp_ratio = keys.number("map_mlp_ratio", 0);
  vision.attentional_pool = keys.boolean("attentional_pool", false);
  vision.attn_pooler_queries = keys.integer("attn_pooler_queries", vision.attn_pooler_queries);
  vision.attn_pooler_heads = keys.integer("attn_pooler_heads", vision.attn_pooler_heads);
  vision.gelu_tanh = gelu_tanh(keys, where);
  vision.layer_norm_eps = layer_norm_eps(keys, where);
  keys.finish(kVisionRules);
  return vision;
}

TextConfig text_from_json(const Json& json, const std::string& where) {
  KeyReader keys(json, where);
  TextConfig text;
  text.context_length = keys.integer("context_length", text.context_length);
  text.vocab_size = keys.integer("vocab_size", text.vocab_size);
  text.width = keys.integer("width", text.width);
  text.heads = keys.integer("heads", text.heads);
  text.layers = keys.integer("layers", text.layers);
  text.mlp_ratio = keys.number("mlp_ratio", text.mlp_ratio);
  text.causal = !keys.boolean("no_causal_mask", false);
  text.projection_bias = keys.boolean("proj_bias", false);
  text.gelu_tanh = gelu_tanh(keys, where);
  text.layer_norm_eps = layer_norm_eps(keys, where);
  text.embed_cls = keys.boolean("embed_cls", false);
  text.correct_cls_mask = keys.boolean("correct_cls_mask", false);
  const std::string pool = keys.text("pool_type", "argmax");
  const int64_t eos_id = keys.integer("eos_id", -1);
  if (pool == "eos") {
    if (eos_id < 0) {
      throw Error::input("pool_type \"eos\" without an eos_id", where,
                         "add the id of the end-of-text token");
    }
    text.eos_id = eos_id;
  } else {
    text.pool = value_of(kTextPools, pool, "pool_type", where);
  }
  keys.finish(kTextRules);
  return text;
}

MultimodalConfig multimodal_from_json(const Json& json, const std::string& where) {
  KeyReader keys(json, where);
  MultimodalConfig multimodal;
  multimodal.width = keys.integer("width", multimodal.width);
  multimodal.heads = keys.integer("heads", multimodal.heads);
  multimodal.layers = keys.integer("layers", multimodal.layers);
  keys.finish(kMultimodalRules);
  return multimodal;
}

Json vision_json(const VisionConfig& config) {
  Json json;
  if (const TimmTower* timm = timm_tower(config)) {
    json["image_size"] = config.image_size;
    json["timm_model_name"] = timm->name;
    json["timm_model_pretrained"] = false;
    json["timm_pool"] = timm->pool;
    json["timm_proj"] = timm->projection.empty() ? Json(nullptr) : Json(timm->projection);
    return json;
  }
  json["image_size"] = config.image_size;
  json["layers"] = config.layers;
  json["width"] = config.width;
  json["patch_size"] = config.patch_size;
  json["head_width"] = config.head_width;
  json["mlp_ratio"] = config.mlp_ratio;
  if (!config.class_token) json["class_token"] = false;
  if (config.patch_bias) json["patch_bias"] = true;
  if (!config.ln_pre) json["no_ln_pre"] = true;
  if (config.pool != ImagePool::kClassToken) json["pool_type"] = to_string(config.pool);
  if (config.ln_post_after_pool) json["final_ln_after_pool"] = true;
  if (!config.projection) json["proj_type"] = "none";
  if (config.projection_bias) json["proj_bias"] = true;
  if (config.rotary_grid > 0) json["rotary_grid"] = config.rotary_grid;
  if (config.map_heads > 0) json["map_heads"] = config.map_heads;
  if (config.map_mlp_ratio > 0) json["map_mlp_ratio"] = config.map_mlp_ratio;
  if (config.attentional_pool) {
    json["attentional_pool"] = true;
    json["attn_pooler_queries"] = config.attn_pooler_queries;
    json["attn_pooler_heads"] = config.attn_pooler_heads;
    json["output_tokens"] = true;  // open_clip's towers then return what the decoder reads
  }
  put_shared(config, json);
  return json;
}

Json text_json(const TextConfig& config) {
  Json json;
  json["context_length"] = config.context_length;
  json["vocab_size"] = config.vocab_size;
  json["width"] = config.width;
  json["heads"] = config.heads;
  json["layers"] = config.layers;
  if (config.mlp_ratio != 4.0) json["mlp_ratio"] = config.mlp_ratio;
  if (!config.causal) json["no_causal_mask"] = true;
  if (config.projection_bias) json["proj_bias"] = true;
  if (config.embed_cls) {
    json["embed_cls"] = true;
    json["output_tokens"] = true;
    if (config.correct_cls_mask) json["correct_cls_mask"] = true;
  }
  if (config.eos_id >= 0) {
    json["pool_type"] = "eos";
    json["eos_id"] = config.eos_id;
  } else if (config.pool != TextPool::kEnd) {
    json["pool_type"] = to_string(config.pool);
  }
  put_shared(config, json);
  return json;
}

Json multimodal_json(const MultimodalConfig& config, const TextConfig& text) {
  return {{"context_length", text.context_length},
          {"vocab_size", text.vocab_size},
          {"width", config.width},
          {"heads", config.heads},
          {"layers", config.layers}};
}

const char* to_string(ImagePool pool) { return name_of(kImagePools, pool); }
const char* to_string(TextPool pool) { return name_of(kTextPools, pool); }

}  // namespace opencloc
