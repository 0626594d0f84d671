// The parts of a multimodal language model against their formulas written down plainly.
#include "opencloc/model/mllm/mllm.h"

#include <cmath>
#include <limits>
#include <set>

#include <gtest/gtest.h>
#include <torch/ordered_dict.h>
#include <torch/utils.h>

#include "opencloc/model/mllm/language_model.h"
#include "opencloc/model/mllm/projector.h"
#include "opencloc/model/mllm/region_sampler.h"

namespace opencloc {
namespace {

using torch::Tensor;

void expect_same(const Tensor& a, const Tensor& b, double tolerance = 2e-5) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LT((a - b).abs().max().item<double>(), tolerance * (1 + b.abs().max().item<double>()));
}

// Weights away from their start, so that biases and norms count.
template <typename Module>
Module shaken(Module module) {
  const torch::NoGradGuard no_grad;
  for (auto& parameter : module->parameters()) parameter.add_(0.2 * torch::randn_like(parameter));
  return module;
}

LanguageModel small_language_model() {
  torch::manual_seed(1);
  return shaken(LanguageModel(LanguageConfig{40, 12, 16, 2, 4}));
}

// GPT-2 in plain operations.
Tensor plain_gpt2(const LanguageModel& model, Tensor x) {
  const auto p = model->named_parameters();
  const int64_t batch = x.size(0), length = x.size(1), heads = model->config().heads;
  const auto norm = [&](const std::string& name, const Tensor& in) {
    return torch::layer_norm(in, {in.size(-1)}, p[name + ".weight"], p[name + ".bias"]);
  };
  const auto linear = [&](const std::string& name, const Tensor& in) {
    return in.matmul(p[name + ".weight"].t()) + p[name + ".bias"];
  };
  x = x + p["wpe.weight"].slice(0, 0, length);
  const auto later = torch::full({length, length}, -std::numeric_limits<float>::infinity()).triu(1);
  for (int64_t i = 0; i < model->config().layers; ++i) {
    const auto name = "transformer.resblocks." + std::to_string(i);
    const auto normed = norm(name + ".ln_1", x);
    const auto qkv =
        (normed.matmul(p[name + ".attn.in_proj_weight"].t()) + p[name + ".attn.in_proj_bias"])
            .view({batch, length, 3, heads, -1})
            .permute({2, 0, 3, 1, 4});
    const double scale = 1 / std::sqrt(static_cast<double>(qkv.size(4)));
    const auto read = (qkv[0].matmul(qkv[1].transpose(2, 3)) * scale + later)
                          .softmax(-1)
                          .matmul(qkv[2])
                          .transpose(1, 2)
                          .flatten(2);
    x = x + linear(name + ".attn.out_proj", read);
    const auto h = linear(name + ".mlp.c_fc", norm(name + ".ln_2", x));
    const auto gelu = 0.5 * h * (1 + torch::tanh(std::sqrt(2 / M_PI) * (h + 0.044715 * h.pow(3))));
    x = x + linear(name + ".mlp.c_proj", gelu);
  }
  return norm("ln_f", x);
}

TEST(LanguageModel, IsGpt2) {
  const auto model = small_language_model();
  const auto embeddings = torch::randn({3, 9, 16});
  const torch::NoGradGuard no_grad;
  auto mutable_model = model;
  const auto read = mutable_model->forward(embeddings);
  expect_same(read, plain_gpt2(model, embeddings));
  expect_same(model->logits(read), read.matmul(model->words().t()));
  EXPECT_TRUE(torch::equal(model->embed(torch::tensor({{3, 5}})),
                           model->words().index_select(0, torch::tensor({3, 5})).unsqueeze(0)));
}

TEST(LanguageModel, WritesAsItReads) {
  auto model = small_language_model();
  const torch::NoGradGuard no_grad;
  const auto embeddings = torch::randn({2, 7, 16});
  LanguageModelImpl::State state;
  std::vector<Tensor> steps;
  for (int64_t t = 0; t < 7; ++t)
    steps.push_back(model->step(embeddings.slice(1, t, t + 1), state));
  expect_same(torch::cat(steps, 1), model->forward(embeddings));
  EXPECT_EQ(state.places, 7);

  // Several given places at a time are the first ones.
  LanguageModelImpl::State given;
  const auto first = model->step(embeddings.slice(1, 0, 5), given);
  expect_same(torch::cat({first, model->step(embeddings.slice(1, 5, 6), given)}, 1),
              model->forward(embeddings).slice(1, 0, 6));
  EXPECT_THROW(model->step(embeddings.slice(1, 5, 7), given), c10::Error);
}

TEST(LanguageModel, WhatComesLaterChangesNothing) {
  auto model = small_language_model();
  const torch::NoGradGuard no_grad;
  const auto sequence = torch::randn({1, 5, 16});
  const auto padded = torch::cat({sequence, torch::randn({1, 4, 16})}, 1);
  expect_same(model->forward(padded).slice(1, 0, 5), model->forward(sequence));
}

TEST(LanguageModel, RefusesMoreThanItsContext) {
  auto model = small_language_model();
  EXPECT_THROW(model->forward(torch::randn({1, 13, 16})), c10::Error);
  LanguageModelImpl::State state;
  state.places = 12;
  EXPECT_THROW(model->step(torch::randn({1, 1, 16}), state), c10::Error);
  EXPECT_THROW(LanguageModel(LanguageConfig{40, 12, 15, 2, 4}), c10::Error);
}

TEST(Projector, IsTwoLayersAndAGelu) {
  torch::manual_seed(2);
  auto projector = shaken(Projector(6, 10));
  const auto tokens = torch::randn({2, 4, 6});
  const auto p = projector->named_parameters();
  const auto inner = torch::gelu(tokens.matmul(p["linear_1.weight"].t()) + p["linear_1.bias"]);
  expect_same(projector(tokens), inner.matmul(p["linear_2.weight"].t()) + p["linear_2.bias"]);
}

// Ferret's sampler for one region, point by point.
Tensor plain_sampler(const RegionSampler& sampler, const Tensor& map, const Tensor& points) {
  const auto p = sampler->named_parameters();
  const auto linear = [&](const std::string& name, const Tensor& in) {
    return p[name + ".weight"].matmul(in) + p[name + ".bias"];
  };
  struct Point {
    double row, column;
    Tensor value;  // [D]
    Tensor whole() const {
      return torch::cat(
          {value, torch::tensor({static_cast<float>(row), static_cast<float>(column)})});
    }
    double distance(const Point& other) const {
      return std::pow(row - other.row, 2) + std::pow(column - other.column, 2);
    }
  };
  const int64_t side = map.size(0);
  std::vector<Point> cloud;
  for (int64_t i = 0; i < points.size(0); ++i) {
    const double x = points[i][0].item<double>(), y = points[i][1].item<double>();
    const double column = x * static_cast<double>(side - 1),
                 row = y * static_cast<double>(side - 1);
    Tensor value = torch::zeros({map.size(2)});
    for (int64_t r = 0; r < side; ++r) {
      for (int64_t c = 0; c < side; ++c) {
        const double weight = std::max(0.0, 1 - std::abs(row - static_cast<double>(r))) *
                              std::max(0.0, 1 - std::abs(column - static_cast<double>(c)));
        value = value + weight * map[r][c];
      }
    }
    cloud.push_back({y, x, value});
  }
  for (size_t n = 0; n < sampler->config().rounds.size(); ++n) {
    const auto name = std::to_string(n);
    const auto& round = sampler->config().rounds[n];
    std::vector<size_t> kept{0};
    while (static_cast<int64_t>(kept.size()) < round.kept) {
      size_t best = 0;
      double far = -1;
      for (size_t i = 0; i < cloud.size(); ++i) {
        double near = 1e10;
        for (const size_t k : kept) near = std::min(near, cloud[i].distance(cloud[k]));
        if (near > far) {
          far = near;
          best = i;
        }
      }
      kept.push_back(best);
    }
    std::vector<Point> next;
    for (const size_t k : kept) {
      std::vector<size_t> order(cloud.size());
      for (size_t i = 0; i < order.size(); ++i) order[i] = i;
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return cloud[k].distance(cloud[a]) < cloud[k].distance(cloud[b]);
      });
      std::vector<Tensor> read;
      for (int64_t i = 0; i < round.neighbours; ++i) {
        const auto difference = cloud[order[static_cast<size_t>(i)]].whole() - cloud[k].whole();
        const auto both =
            torch::cat({linear("diff_projector_list." + name, difference), cloud[k].whole()});
        const auto out = torch::relu(linear("agg_projector_list." + name + ".net.0", both));
        read.push_back(torch::layer_norm(out, {out.size(0)},
                                         p["agg_projector_list." + name + ".norm.weight"],
                                         p["agg_projector_list." + name + ".norm.bias"]));
      }
      next.push_back({cloud[k].row, cloud[k].column, torch::stack(read).amax(0)});
    }
    cloud = next;
  }
  std::vector<Tensor> values;
  for (const auto& point : cloud) values.push_back(point.value);
  return linear("dim_projector", linear("flatten_projector", torch::cat(values)));
}

TEST(RegionSampler, IsFerrets) {
  torch::manual_seed(3);
  RegionSamplerConfig config;
  config.token_width = 5;
  config.width = 7;
  config.points = 12;
  config.rounds = {{6, 4}, {3, 2}};
  auto sampler = shaken(RegionSampler(config));
  const torch::NoGradGuard no_grad;
  const auto tokens = torch::randn({2, 1 + 9, 5});  // with a class token
  const auto index = torch::tensor({1, 0, 1});
  const auto points = torch::rand({3, 12, 2});
  const auto regions = sampler->forward(tokens, index, points);
  for (int64_t i = 0; i < 3; ++i) {
    const auto map = tokens[index[i].item<int64_t>()].slice(0, 1).view({3, 3, 5});
    expect_same(regions[i], plain_sampler(sampler, map, points[i]));
  }
  EXPECT_THROW(sampler->forward(tokens, index, points.slice(1, 1)), c10::Error);
  config.rounds = {{13, 4}};
  EXPECT_THROW(RegionSampler{config}, c10::Error);
}

MllmConfig small_mllm(RegionSource source) {
  MllmConfig config;
  config.language = {40, 12, 16, 1, 2};
  config.token_width = 5;
  config.image_id = 38;
  config.region_id = 39;
  config.region_source = source;
  config.sampler.points = 6;
  config.sampler.rounds = {{4, 3}, {2, 2}};
  config.embedding_width = 3;
  return config;
}

TEST(Mllm, PutsPictureAndRegionsIntoTheirPlaces) {
  torch::manual_seed(5);
  const torch::NoGradGuard no_grad;
  const auto ids = torch::tensor({{1, 38, 38, 38, 38, 39, 2}, {38, 38, 38, 38, 3, 39, 39}});
  const auto tokens = torch::randn({2, 4, 5});
  MllmRegions regions{torch::tensor({0, 1, 1}), torch::rand({3, 6, 2}), torch::randn({3, 3})};
  for (const auto source :
       {RegionSource::kMean, RegionSource::kSampler, RegionSource::kEmbedding}) {
    auto model = shaken(Mllm(small_mllm(source)));
    const auto read = model->embed(ids, tokens, regions);  // [2, 7, 16]
    const auto p = model->named_parameters();
    const auto picture = torch::gelu(tokens.matmul(p["multi_modal_projector.linear_1.weight"].t()) +
                                     p["multi_modal_projector.linear_1.bias"])
                             .matmul(p["multi_modal_projector.linear_2.weight"].t()) +
                         p["multi_modal_projector.linear_2.bias"];
    expect_same(read[0].slice(0, 1, 5), picture[0]);
    expect_same(read[1].slice(0, 0, 4), picture[1]);
    const auto words = model->language_model->words();
    EXPECT_TRUE(torch::equal(read[0][0], words[1]));
    EXPECT_TRUE(torch::equal(read[0][6], words[2]));
    EXPECT_TRUE(torch::equal(read[1][4], words[3]));
    if (source == RegionSource::kSampler) continue;  // its vectors: RegionSampler.IsFerrets
    const auto in = source == RegionSource::kEmbedding
                        ? regions.embeddings
                        : tokens_at(tokens, regions.image_index, regions.points).mean(1);
    const auto vectors = in.matmul(p["region_projector.weight"].t()) + p["region_projector.bias"];
    expect_same(torch::stack({read[0][5], read[1][5], read[1][6]}), vectors);
  }
}

TEST(Mllm, EveryPartLearns) {
  torch::manual_seed(6);
  const auto ids = torch::tensor({{1, 38, 38, 38, 38, 39, 2}});
  for (const auto source :
       {RegionSource::kMean, RegionSource::kSampler, RegionSource::kEmbedding}) {
    auto model = shaken(Mllm(small_mllm(source)));
    const auto tokens = torch::randn({1, 4, 5}).requires_grad_();
    MllmRegions regions{torch::tensor({0}), torch::rand({1, 6, 2}), torch::randn({1, 3})};
    model(ids, tokens, regions).square().sum().backward();
    EXPECT_GT(tokens.grad().abs().sum().item<double>(), 0);
    for (const auto& parameter : model->named_parameters()) {
      ASSERT_TRUE(parameter.value().grad().defined()) << parameter.key();
      EXPECT_GT(parameter.value().grad().abs().sum().item<double>(), 0) << parameter.key();
    }
  }
}

TEST(Mllm, RefusesPlacesWithoutPicturesOrRegions) {
  auto model = Mllm(small_mllm(RegionSource::kEmbedding));
  const auto tokens = torch::randn({1, 4, 5});
  const auto with = [&](std::vector<int64_t> ids, int64_t regions) {
    MllmRegions given;
    if (regions > 0)
      given = {torch::zeros({regions}, torch::kInt64), {}, torch::randn({regions, 3})};
    return model->embed(torch::tensor(ids).unsqueeze(0), tokens, given);
  };
  EXPECT_NO_THROW(with({38, 38, 38, 38, 1}, 0));
  EXPECT_THROW(with({38, 38, 38, 1}, 0), c10::Error) << "a picture of 4 tokens in 3 places";
  EXPECT_THROW(with({38, 38, 38, 38, 39}, 0), c10::Error);
  EXPECT_THROW(with({38, 38, 38, 38, 39}, 2), c10::Error);
  model = Mllm(small_mllm(RegionSource::kNone));
  EXPECT_THROW(with({38, 38, 38, 38, 39}, 1), c10::Error);
}

TEST(RegionSampler, PointsLieInTheirBox) {
  Rng rng(4);
  const std::array<float, 4> box{0.25F, 0.5F, 0.75F, 0.6F};
  const auto points = points_in_box(box, 40, 10, 20, rng);  // exactly its 20 x 1 pixels
  std::set<std::pair<float, float>> distinct;
  for (const auto& [x, y] : points) {
    EXPECT_GE(x, 0.25F);
    EXPECT_LT(x, 0.75F);
    EXPECT_EQ(y, 0.5F);
    distinct.emplace(x, y);
  }
  EXPECT_EQ(distinct.size(), 20u);
  EXPECT_EQ(points_in_box(box, 40, 10, 50, rng).size(), 50u) << "repeated where there are fewer";
  // A box below a pixel, at the edge, is that pixel.
  for (const auto& [x, y] : points_in_box({0.999F, 1, 1, 1}, 10, 10, 3, rng)) {
    EXPECT_EQ(x, 0.9F);
    EXPECT_EQ(y, 0.9F);
  }
}

}  // namespace
}  // namespace opencloc
