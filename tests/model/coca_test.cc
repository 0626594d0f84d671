// CoCa against its formulas written down plainly, over open_clip's tensor names.
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <torch/ordered_dict.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "tests/model/small_coca.h"

namespace opencloc {
namespace {

using fixtures::random_captions;
using fixtures::random_coca;
using fixtures::small_coca;
using ::testing::HasSubstr;
using torch::Tensor;

// Plain layers over the parameters of a model by name.
struct Plain {
  torch::OrderedDict<std::string, Tensor> parameters;

  Tensor norm(const std::string& name, const Tensor& x) const {
    return torch::layer_norm(x, {x.size(-1)}, parameters[name + ".weight"],
                             parameters[name + ".bias"]);
  }
  Tensor linear(const std::string& name, const Tensor& x) const {
    return x.matmul(parameters[name + ".weight"].t()) + parameters[name + ".bias"];
  }
  // q [B, Tq, D], k, v [B, Tk, D]; added [..., Tq, Tk] to the scores.
  static Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, int64_t heads,
                       const Tensor& added) {
    const auto split = [&](const Tensor& x) {
      return x.view({x.size(0), x.size(1), heads, -1}).transpose(1, 2);
    };
    const auto width = static_cast<double>(q.size(2) / heads);
    auto scores = split(q).matmul(split(k).transpose(2, 3)) / std::sqrt(width);
    if (added.defined()) scores = scores + added;
    return scores.softmax(-1).matmul(split(v)).transpose(1, 2).flatten(2);
  }
  // PyTorch's MultiheadAttention with stacked weights.
  Tensor attention(const std::string& name, const Tensor& q, const Tensor& kv, int64_t heads,
                   const Tensor& added) const {
    const auto weight = parameters[name + ".in_proj_weight"].chunk(3);
    const auto bias = parameters[name + ".in_proj_bias"].chunk(3);
    const auto in = [&](const Tensor& x, size_t i) { return x.matmul(weight[i].t()) + bias[i]; };
    return linear(name + ".out_proj", attend(in(q, 0), in(kv, 1), in(kv, 2), heads, added));
  }
  Tensor mlp(const std::string& name, const Tensor& x) const {
    return linear(name + ".c_proj", torch::gelu(linear(name + ".c_fc", x)));
  }
  Tensor block(const std::string& name, Tensor x, int64_t heads, const Tensor& added) const {
    const auto normed = norm(name + ".ln_1", x);
    x = x + attention(name + ".attn", normed, normed, heads, added);
    return x + mlp(name + ".mlp", norm(name + ".ln_2", x));
  }
  Tensor cross_block(const std::string& name, Tensor x, const Tensor& image, int64_t heads) const {
    x = x + attention(name + ".attn", norm(name + ".ln_1", x), norm(name + ".ln_1_kv", image),
                      heads, {});
    return x + mlp(name + ".mlp", norm(name + ".ln_2", x));
  }
};

Tensor causal(int64_t length) {
  return torch::full({length, length}, -std::numeric_limits<float>::infinity()).triu(1);
}

void expect_values_near(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-4 * (1 + b.abs().max().item<double>()));
}

TEST(Coca, PoolsTheImageByQueries) {
  for (const int64_t width : {24, 16}) {  // 16 = embed_dim: the weights are stacked
    auto config = small_coca();
    config.vision.width = width;
    config.vision.head_width = width / 2;
    auto model = random_coca(config);
    const Plain plain{model->named_parameters()};
    const torch::NoGradGuard no_grad;
    const auto features = model->encode_image(torch::randn({3, 3, 32, 32}));
    const std::string pool = "visual.attn_pool.";
    const auto q = plain.norm(pool + "ln_q", plain.parameters[pool + "query"]);
    const auto kv = plain.norm(pool + "ln_k", features.tokens);
    const auto bias = plain.parameters[pool + "attn.in_proj_bias"].chunk(3);
    std::vector<Tensor> weight;
    if (width == 16) {
      weight = plain.parameters[pool + "attn.in_proj_weight"].chunk(3);
    } else {
      for (const char* name : {"q", "k", "v"})
        weight.push_back(plain.parameters[pool + "attn." + name + "_proj_weight"]);
    }
    const auto queries = (q.matmul(weight[0].t()) + bias[0]).expand({3, 5, 16}).contiguous();
    const auto attended =
        Plain::attend(queries, kv.matmul(weight[1].t()) + bias[1],
                      kv.matmul(weight[2].t()) + bias[2], config.vision.attn_pooler_heads, {});
    const auto pooled =
        plain.norm("visual.ln_post", plain.linear(pool + "attn.out_proj", attended));
    expect_values_near(features.captioning, pooled.slice(1, 1));
    expect_values_near(features.embedding,
                       pooled.select(1, 0).matmul(plain.parameters["visual.proj"]));
    // An image of one token.
    const auto token = torch::randn({2, width});
    EXPECT_EQ(model->visual->project(token).sizes(), (torch::IntArrayRef{2, 16}));
  }
}

// open_clip's mask, by its definition: the causal one, and where the key's column of `valid` is 0.
Tensor open_clip_mask(const Tensor& ids, bool correct) {
  const auto words = ids.ne(0), always = torch::ones({ids.size(0), 1}, torch::kBool);
  const auto valid = correct ? torch::cat({words, always}, 1) : torch::cat({always, words}, 1);
  const auto rows = torch::zeros_like(valid, torch::kFloat)
                        .masked_fill(valid.logical_not(), -std::numeric_limits<float>::infinity());
  const int64_t length = valid.size(1);
  auto mask = causal(length).unsqueeze(0).repeat({ids.size(0), 1, 1});
  mask.select(1, length - 1) += rows;  // the other rows' padding is behind their words
  return mask.unsqueeze(1);            // [B, 1, T + 1, T + 1]
}

TEST(Coca, TextIsPooledByATokenBehindItUnderOpenClipsMasks) {
  torch::manual_seed(8);
  const auto ids = random_captions(5, 8);
  for (const bool correct : {false, true}) {
    auto config = small_coca();
    config.text.correct_cls_mask = correct;
    auto model = random_coca(config);
    const Plain plain{model->named_parameters()};
    const torch::NoGradGuard no_grad;
    const auto words = torch::embedding(plain.parameters["text.token_embedding.weight"], ids);
    const auto cls = plain.parameters["text.cls_emb"].expand({5, 1, 16});
    auto x = torch::cat({words, cls}, 1) + plain.parameters["text.positional_embedding"];
    x = plain.block("text.transformer.resblocks.0", x, 2, open_clip_mask(ids, correct));
    const auto pooled = plain.norm("text.ln_final", x.select(1, -1));
    const auto text = model->text->encode(ids);
    expect_values_near(text.embedding, pooled.matmul(plain.parameters["text.text_projection"]));
    expect_values_near(text.tokens, x.slice(1, 0, 8));
    // Padding behind the longest text can be left out.
    const auto some = ids.slice(0, 1, 4);
    const auto longest = some.ne(0).sum(1).max().item<int64_t>();
    ASSERT_LT(longest, 8);
    expect_values_near(model->encode_text(some.slice(1, 0, longest)),
                       text.embedding.slice(0, 1, 4));
  }
}

TEST(Coca, TheDecoderReadsTextAndImage) {
  auto model = random_coca();
  const Plain plain{model->named_parameters()};
  const torch::NoGradGuard no_grad;
  const auto tokens = torch::randn({2, 6, 16}), image = torch::randn({2, 4, 16});
  auto x = plain.block("text_decoder.resblocks.0", tokens, 4, causal(6));
  x = plain.cross_block("text_decoder.cross_attn.0", x, image, 4);
  x = plain.norm("text_decoder.ln_final", x)
          .matmul(plain.parameters["text_decoder.text_projection"]);
  const auto& decoder = model->text_decoder;
  expect_values_near(decoder->logits(model->text_decoder->forward(tokens, image)), x);
}

TEST(Coca, OnePlaceAtATimeIsTheSame) {
  auto config = small_coca();
  config.text.layers = config.multimodal->layers = 2;
  auto model = random_coca(config);
  const torch::NoGradGuard no_grad;
  const auto ids = random_captions(3, 8), image = torch::randn({3, 4, 16});
  const auto whole = model->text_decoder->forward(model->text->encode(ids).tokens, image);
  std::vector<Tensor> caches;
  auto state = model->text_decoder->begin(image);
  for (int64_t place = 0; place < 8; ++place) {
    const auto token = model->text->step(ids.select(1, place), place, caches);
    expect_values_near(model->text_decoder->step(token, state), whole.slice(1, place, place + 1));
  }
}

std::string error_of(const std::function<void(Json&)>& change) {
  Json json = open_clip_config_json(small_coca());
  change(json["model_cfg"]);
  try {
    model_config_from_json(json, "test");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(CocaConfig, IsOpenClips) {
  const auto json = open_clip_config_json(small_coca());
  EXPECT_EQ(open_clip_config_json(model_config_from_json(json, "again")), json);
  const auto big = load_model_config("coca_ViT-L-14");
  EXPECT_EQ(big.vision.attn_pooler_queries, 256);
  EXPECT_EQ(big.multimodal->layers, 12);
  EXPECT_FALSE(big.text.correct_cls_mask);
  EXPECT_TRUE(open_clip_knows(big));
  EXPECT_FALSE(open_clip_knows(load_model_config("coca-XXS-16-96")));  // correct_cls_mask
  EXPECT_FALSE(is_openai_clip(big));
  EXPECT_FALSE(load_model_config("ViT-B-32").multimodal);
}

TEST(CocaConfig, WhatMakesNoSenseIsNamed) {
  EXPECT_EQ(error_of([](Json&) {}), "no error");
  const std::vector<std::pair<std::function<void(Json&)>, std::string>> cases = {
      {[](Json& json) { json["custom_text"] = false; }, "custom_text"},
      {[](Json& json) { json["vision_cfg"]["attentional_pool"] = false; }, "attentional_pool"},
      {[](Json& json) { json["vision_cfg"]["attentional_pool"] = "parallel"; }, "attentional_pool"},
      {[](Json& json) { json["vision_cfg"]["attn_pooler_queries"] = 1; }, "attn_pooler_queries"},
      {[](Json& json) { json["vision_cfg"]["attn_pooler_heads"] = 3; }, "attn_pooler_heads"},
      {[](Json& json) { json["text_cfg"]["embed_cls"] = false; }, "embed_cls"},
      {[](Json& json) { json["text_cfg"]["pad_id"] = 3; }, "pad_id"},
      {[](Json& json) { json["text_cfg"]["no_causal_mask"] = true; }, "embed_cls"},
      {[](Json& json) { json["multimodal_cfg"]["width"] = 32; }, "multimodal_cfg.width"},
      {[](Json& json) { json["multimodal_cfg"]["heads"] = 3; }, "multimodal_cfg.width"},
      {[](Json& json) { json["multimodal_cfg"]["layers"] = 0; }, "multimodal_cfg.layers"},
      {[](Json& json) { json["multimodal_cfg"]["mlp_ratio"] = 2; }, "mlp_ratio"},
      {[](Json& json) { json["multimodal_cfg"]["lyers"] = 2; }, "lyers"}};
  for (const auto& [change, message] : cases) EXPECT_THAT(error_of(change), HasSubstr(message));
}

}  // namespace
}  // namespace opencloc
