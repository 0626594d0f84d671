#include "opencloc/model/config/config.h"

#include <fstream>

#include <gmock/gmock.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

using testing::Contains;
using testing::HasSubstr;

const char* const kOpenClip = R"({
  "model_cfg": {
    "embed_dim": 64,
    "quick_gelu": true,
    "vision_cfg": {"image_size": 64, "layers": 3, "width": 128, "patch_size": 16, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
  },
  "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073], "std": 0.5,
                     "interpolation": "bilinear", "resize_mode": "squash", "fill_color": 128}
})";

ModelConfig parse(const Json& json) { return model_config_from_json(json, "test.json"); }

std::string error_of(const Json& json) {
  try {
    parse(json);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "no error";
}

Json changed(const char* pointer, const Json& value) {
  Json json = Json::parse(kOpenClip);
  json[Json::json_pointer(pointer)] = value;
  return json;
}

TEST(ModelConfig, ReadsOpenClipsForm) {
  const auto config = parse(Json::parse(kOpenClip));
  EXPECT_EQ(config.embed_dim, 64);
  EXPECT_TRUE(config.quick_gelu);
  EXPECT_EQ(config.vision.heads(), 4);
  EXPECT_EQ(config.vision.patches(), 16);
  EXPECT_EQ(config.text.context_length, 77);
  EXPECT_EQ(config.text.eos_id, -1);
  EXPECT_EQ(config.preprocess.resize_mode, CanvasRule::kSquash);
  EXPECT_FALSE(config.preprocess.bicubic);
  EXPECT_FLOAT_EQ(config.preprocess.mean[1], 0.4578275f);
  EXPECT_FLOAT_EQ(config.preprocess.std[2], 0.5f);
  EXPECT_EQ(config.preprocess.fill_color, 128);
}

TEST(ModelConfig, ReadsTheBareModelPart) {
  Json json = Json::parse(kOpenClip)["model_cfg"];
  EXPECT_EQ(parse(json).vision.width, 128);
  EXPECT_EQ(parse(json).preprocess.resize_mode, CanvasRule::kShortest);  // OpenAI's
  json["cloc"] = {{"pool", "all"}};
  EXPECT_EQ(parse(json).cloc.pool, Pool::kAll);
}

TEST(ModelConfig, WritesWhatItReads) {
  for (const auto& name : known_model_names()) {
    const auto config = load_model_config(name);
    EXPECT_EQ(config.name, name);
    const Json written = open_clip_config_json(config);
    EXPECT_EQ(open_clip_config_json(parse(written)), written) << name;
  }
  const Json written = open_clip_config_json(parse(Json::parse(kOpenClip)));
  EXPECT_THAT(dump_json(written), HasSubstr("[0.48145467,0.4578275,0.40821072]"));

  ClocConfig cloc;
  cloc.region_extractor = RegionExtractor::kRoiAlign;
  cloc.pool = Pool::kAll;
  cloc.joint_box_token = cloc.position_image_tokens = false;
  cloc.mlp_ratio = 2;
  const Json json = cloc_config_json(cloc);
  EXPECT_EQ(cloc_config_json(cloc_config_from_json(json, "x")), json);
  for (const char* key : {"box_encoding", "several_layers"})
    EXPECT_FALSE(json.contains(key)) << "programs of before read what is not of these: " << key;

  cloc.joint_box_token = cloc.several_layers = true;
  cloc.box_encoding = BoxEncoding::kIntegrated;
  const auto read = cloc_config_from_json(cloc_config_json(cloc), "x");
  EXPECT_EQ(read.box_encoding, BoxEncoding::kIntegrated);
  EXPECT_TRUE(read.several_layers);
  Json wrong = cloc_config_json(cloc);
  wrong["joint_box_token"] = false;
  EXPECT_THROW(cloc_config_from_json(wrong, "x"), Error);
  wrong = {{"box_encoding", "round"}};
  EXPECT_THROW(cloc_config_from_json(wrong, "x"), Error);
}

TEST(ModelConfig, EndTokenIsOpenClipsPoolType) {
  Json json = changed("/model_cfg/text_cfg/pool_type", "eos");
  EXPECT_THAT(error_of(json), HasSubstr("eos_id"));
  json["model_cfg"]["text_cfg"]["eos_id"] = 2;
  const auto config = parse(json);
  EXPECT_EQ(config.text.eos_id, 2);
  EXPECT_EQ(parse(open_clip_config_json(config)).text.eos_id, 2);
}

// Everything that is not OpenAI's is read and written back.
TEST(ModelConfig, OtherArchitecturesOfOpenClip) {
  Json json = Json::parse(kOpenClip);
  json["model_cfg"].erase("quick_gelu");
  json["model_cfg"].update({{"custom_text", true}, {"init_logit_bias", -10}});
  json["model_cfg"]["init_logit_scale"] = 2.302585;
  json["model_cfg"]["vision_cfg"].update({{"no_ln_pre", true},
                                          {"pool_type", "avg"},
                                          {"final_ln_after_pool", true},
                                          {"norm_kwargs", {{"eps", 1e-6}}},
                                          {"act_kwargs", {{"approximate", "tanh"}}}});
  json["model_cfg"]["text_cfg"].update(
      {{"no_causal_mask", true}, {"proj_bias", true}, {"pool_type", "last"}, {"mlp_ratio", 2.5}});
  const auto config = parse(json);
  EXPECT_TRUE(config.custom_text);
  EXPECT_EQ(config.init_logit_bias, -10);
  EXPECT_FALSE(config.vision.ln_pre);
  EXPECT_EQ(config.vision.pool, ImagePool::kAverage);
  EXPECT_TRUE(config.vision.ln_post_after_pool && config.vision.gelu_tanh);
  EXPECT_DOUBLE_EQ(config.vision.layer_norm_eps, 1e-6);
  EXPECT_EQ(config.text.pool, TextPool::kLast);
  EXPECT_FALSE(config.text.causal || config.text.gelu_tanh);
  EXPECT_TRUE(config.text.projection_bias);
  EXPECT_TRUE(open_clip_knows(config));
  EXPECT_FALSE(is_openai_clip(config));
  EXPECT_TRUE(is_openai_clip(parse(Json::parse(kOpenClip))));
  const Json written = open_clip_config_json(config);
  EXPECT_EQ(written["model_cfg"]["vision_cfg"]["act_kwargs"]["approximate"], "tanh");
  EXPECT_EQ(open_clip_config_json(parse(written)), written);

  // What open_clip has no name for.
  json["model_cfg"]["embed_dim"] = 128;
  json["model_cfg"]["vision_cfg"].update({{"class_token", false},
                                          {"patch_bias", true},
                                          {"pool_type", "map"},
                                          {"final_ln_after_pool", false},
                                          {"proj_type", "none"}});
  const auto own = parse(json);
  EXPECT_FALSE(open_clip_knows(own));
  EXPECT_EQ(own.vision.tokens(), own.vision.patches());
  EXPECT_EQ(open_clip_config_json(parse(open_clip_config_json(own))), open_clip_config_json(own));
}

TEST(ModelConfig, ContradictionsAreErrors) {
  EXPECT_THAT(error_of(changed("/model_cfg/vision_cfg/class_token", false)),
              HasSubstr("class_token"));
  EXPECT_THAT(error_of(changed("/model_cfg/vision_cfg/proj_type", "none")), HasSubstr("embed_dim"));
  EXPECT_THAT(error_of(changed("/model_cfg/text_cfg/act_kwargs", {{"approximate", "tanh"}})),
              HasSubstr("quick_gelu"));
  EXPECT_THAT(error_of(changed("/model_cfg/text_cfg/mlp_ratio", 0.01)), HasSubstr("mlp_ratio"));
}

TEST(ModelConfig, NamedArchitectures) {
  const auto names = known_model_names();
  for (const char* name : {"ViT-B-16", "ViT-B-32", "ViT-L-14-336", "ViT-H-14-336", "ViT-S-16",
                           "ViT-XS-16-128", "ViT-XXS-16-96", "ViT-Test", "ViT-B-16-SigLIP"}) {
    EXPECT_THAT(names, Contains(name));
  }
  const auto small = load_model_config("ViT-XS-16-128");
  EXPECT_EQ(small.vision.image_size, 128);
  EXPECT_EQ(small.vision.width, 192);
  EXPECT_EQ(small.vision.layers, 6);
  EXPECT_EQ(small.vision.heads(), 3);
  EXPECT_EQ(small.text.width, 192);
  EXPECT_EQ(small.text.layers, 3);
  EXPECT_EQ(small.text.heads, 3);
  EXPECT_EQ(small.text.context_length, 32);
  EXPECT_EQ(small.embed_dim, 192);
  EXPECT_EQ(small.preprocess.resize_mode, CanvasRule::kLongest);  // the paper's canvas
  EXPECT_EQ(load_model_config("ViT-H-14-336").vision.heads(), 16);
  EXPECT_EQ(load_model_config("ViT-L-14-336").vision.patches(), 576);
}

TEST(ModelConfig, UnknownNameListsTheKnownOnes) {
  try {
    load_model_config("ViT-B-17");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("ViT-B-16"));
  }
}

TEST(ModelConfig, ReadsAFile) {
  const std::string path = testing::TempDir() + "/opencloc_config_test.json";
  std::ofstream(path) << kOpenClip;
  EXPECT_EQ(load_model_config(path).embed_dim, 64);
  std::ofstream(path) << "{\"model_cfg\": ";
  EXPECT_THROW(load_model_config(path), Error);
}

TEST(ModelConfig, KeysThatWouldChangeTheModelAreErrors) {
  EXPECT_THAT(error_of(changed("/model_cfg/vision_cfg/widht", 3)), HasSubstr("'widht'"));
  EXPECT_THAT(error_of(changed("/surprise", 1)), HasSubstr("'surprise'"));
  EXPECT_THAT(error_of(changed("/model_cfg/vision_cfg/input_patchnorm", true)),
              HasSubstr("input_patchnorm"));
  EXPECT_THAT(error_of(changed("/model_cfg/vision_cfg/timm_model_name", "resnet50")),
              HasSubstr("timm_model_name"));
  EXPECT_THAT(error_of(changed("/model_cfg/text_cfg/hf_model_name", "roberta")),
              HasSubstr("hf_model_name"));
  EXPECT_THAT(error_of(changed("/model_cfg/text_cfg/pool_type", "none")), HasSubstr("none"));
  EXPECT_THAT(error_of(changed("/model_cfg/text_cfg/norm_kwargs", {{"elementwise_affine", false}})),
              HasSubstr("elementwise_affine"));
  EXPECT_THAT(error_of(changed("/model_cfg/vision_cfg/act_kwargs", {{"approximate", "sin"}})),
              HasSubstr("sin"));
  EXPECT_THAT(error_of(changed("/model_cfg/nonscalar_logit_scale", true)),
              HasSubstr("nonscalar_logit_scale"));
  EXPECT_THAT(error_of(changed("/preprocess_cfg/resize_mode", "stretch")), HasSubstr("stretch"));
  EXPECT_THAT(error_of(changed("/preprocess_cfg/interpolation", "random")), HasSubstr("random"));
  EXPECT_THAT(error_of(changed("/preprocess_cfg/size", 65)), HasSubstr("65"));
  EXPECT_THAT(error_of(changed("/cloc", {{"pools", "all"}})), HasSubstr("pools"));
  EXPECT_THAT(error_of(changed("/cloc", {{"pool", "some"}})), HasSubstr("some"));
}

TEST(ModelConfig, KeysThatChangeNothingAreAccepted) {
  Json json = changed("/model_cfg/vision_cfg/patch_dropout", 0);
  json["model_cfg"]["vision_cfg"]["timm_model_name"] = nullptr;
  json["model_cfg"]["vision_cfg"]["timm_pool"] = "avg";
  json["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "openai/clip-vit-base-patch32";
  json["model_cfg"]["init_logit_scale"] = 2.6592;
  json["preprocess_cfg"]["size"] = {64, 64};
  json["preprocess_cfg"]["mode"] = "RGB";
  EXPECT_EQ(error_of(json), "no error");
}

TEST(ModelConfig, ValuesThatMakeNoSenseNameTheKey) {
  EXPECT_THAT(error_of(changed("/model_cfg/vision_cfg/patch_size", 15)), HasSubstr("patch_size"));
  EXPECT_THAT(error_of(changed("/model_cfg/vision_cfg/patch_size", 0)), HasSubstr("patch_size"));
  EXPECT_THAT(error_of(changed("/model_cfg/vision_cfg/head_width", 33)), HasSubstr("head_width"));
  EXPECT_THAT(error_of(changed("/model_cfg/vision_cfg/layers", {3, 4})), HasSubstr("layers"));
  EXPECT_THAT(error_of(changed("/model_cfg/vision_cfg/layers", -1)), HasSubstr("layers"));
  EXPECT_THAT(error_of(changed("/model_cfg/vision_cfg/mlp_ratio", 0.3333)), HasSubstr("mlp_ratio"));
  EXPECT_THAT(error_of(changed("/model_cfg/text_cfg/heads", 3)), HasSubstr("heads"));
  EXPECT_THAT(error_of(changed("/model_cfg/text_cfg/vocab_size", 1e12)), HasSubstr("vocab_size"));
  EXPECT_THAT(error_of(changed("/model_cfg/embed_dim", "big")), HasSubstr("embed_dim"));
  EXPECT_THAT(error_of(changed("/preprocess_cfg/std", {0.5, 0, 0.5})), HasSubstr("std"));
  EXPECT_THAT(error_of(changed("/preprocess_cfg/fill_color", 256)), HasSubstr("fill_color"));
  EXPECT_THAT(error_of(Json::array()), HasSubstr("object"));
  Json json = Json::parse(kOpenClip);
  json["model_cfg"].erase("vision_cfg");
  EXPECT_THAT(error_of(json), HasSubstr("vision_cfg"));
}

}  // namespace
}  // namespace opencloc
