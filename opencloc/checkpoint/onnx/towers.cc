#include "opencloc/checkpoint/onnx/towers.h"

#include <limits>
#include <string>
#include <vector>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/onnx/layers.h"
#include "opencloc/model/layers/attention_pool.h"

namespace opencloc::onnx {
namespace {

constexpr int64_t kToTheEnd = std::numeric_limits<int64_t>::max();

// [B, T, D] -> [B, D], before the projection.
Value pooled_image(Layers& layers, Graph& graph, const VisionConfig& vision,
                   const BlockConfig& block, const Value& tokens) {
  const auto norm = [&](const Value& x) {
    return layers.layer_norm(x, "visual.ln_post", vision.layer_norm_eps);
  };
  switch (vision.pool) {
    case ImagePool::kClassToken:
      return norm(layers.reshape(layers.slice(tokens, 1, 0, 1), {0, vision.width}));
    case ImagePool::kAverage:
    case ImagePool::kMax: {
      const auto patches = vision.class_token ? layers.slice(tokens, 1, 1, kToTheEnd) : tokens;
      const auto over = [&](const Value& x) {
        if (vision.pool == ImagePool::kAverage) return layers.mean(x, 1);
        return graph.node("ReduceMax", {x},
                          {{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{0}}});
      };
      return vision.ln_post_after_pool ? norm(over(patches)) : over(norm(patches));
    }
    case ImagePool::kAttention:
      break;
  }
  return layers.attention_pool(norm(tokens), "visual.attn_pool", pool_config(vision, block));
}

// What the region part reads [B, T, D]: the last block's tokens, or the sum of several layers'.
Value tokens_of_regions(Layers& layers, const ModelConfig& config,
                        const std::vector<Value>& after) {
  if (!config.region_part || !config.cloc.several_layers) return after.back();
  Value sum;
  int64_t i = 0;
  for (const int64_t blocks : config.vision.several_layers()) {
    const auto normed = layers.layer_norm(after[static_cast<size_t>(blocks)],
                                          "prompter.ln_layer_" + std::to_string(i));
    sum = i == 0 ? normed : layers.add(sum, normed);
    ++i;
  }
  return sum;
}

// The place a text is pooled at, for each text -> [B, D].
Value pooled_text(Layers& layers, Graph& graph, const TextConfig& text, const Value& tokens,
                  const Value& ids) {
  if (text.pool == TextPool::kFirst)
    return layers.reshape(layers.slice(tokens, 1, 0, 1), {0, text.width});
  if (text.pool == TextPool::kLast) {
    const auto last = layers.slice(tokens, 1, text.context_length - 1, text.context_length);
    return layers.reshape(last, {0, text.width});
  }
  auto marks = ids;
  if (text.eos_id >= 0) {
    const auto end = graph.stored("eos_id", torch::full({}, text.eos_id, torch::kInt64));
    marks = graph.node("Equal", {ids, end});
  }
  // ONNX's number of int32: ids fit, and every runtime finds the highest of these.
  const auto numbers = graph.node("Cast", {marks}, {{"to", int64_t{6}}});
  const auto place =
      graph.node("ArgMax", {numbers}, {{"axis", int64_t{1}}, {"keepdims", int64_t{1}}});  // [B, 1]
  return graph.node("GatherND", {tokens, place}, {{"batch_dims", int64_t{1}}});           // [B, D]
}

}  // namespace

void require_onnx_towers(const ModelConfig& config, std::string_view where) {
  const char* part = config.multimodal                ? "a text decoder"
                     : config.vision.attentional_pool ? "an attentional pooler"
                     : config.text.embed_cls          ? "a class token of its text tower"
                                                      : nullptr;
  if (config.vision.rotary_grid > 0 || config.vision.projection_bias) {
    throw Error::input(
        "ONNX graphs are not written for an image tower with rotary positions or a "
        "projection with a bias (PE-Core)",
        where, "use the settings 'to=opencloc' or 'to=open_clip'");
  }
  if (part == nullptr) return;
  throw Error::input(std::string("a captioner (CoCa): ONNX graphs are not written for ") + part,
                     where, "use the settings 'to=opencloc' or 'to=open_clip'");
}

Graph visual_graph(const Cloc& model) {
  const torch::NoGradGuard no_grad;
  const auto& config = model->config();
  const auto& vision = config.vision;
  const BlockConfig block = block_config(config, vision, vision.heads());
  const int64_t width = vision.width, side = vision.image_size, patch = vision.patch_size;
  Graph graph("visual");
  auto weights = model->clip_weights();
  for (auto& weight : model->region_weights()) weights.push_back(weight);
  Layers layers(graph, weights);
  const auto pixels = graph.input(kPixelValues, torch::kFloat, {"batch", 3, side, side});

  std::vector<Value> convolved = {pixels, layers.stored("visual.conv1.weight")};
  if (vision.patch_bias) convolved.push_back(layers.stored("visual.conv1.bias"));
  const auto grid = graph.node("Conv", convolved,
                               {{"kernel_shape", std::vector<int64_t>{patch, patch}},
                                {"strides", std::vector<int64_t>{patch, patch}}});  // [B, D, g, g]
  auto x = layers.transpose(layers.reshape(grid, {0, width, vision.patches()}), {0, 2, 1});
  auto positions = layers.weight("visual.positional_embedding").detach();  // [T, D]
  if (vision.class_token) {
    // A place in front, whose value, the class token, comes with its position.
    x = graph.node("Pad", {x, graph.ints({0, 1, 0, 0, 0, 0})});  // [B, T, D]
    positions = positions.clone();
    positions[0] += layers.weight("visual.class_embedding");
  }
  x = layers.add(x, graph.stored("visual.positional_embedding", positions));
  if (vision.ln_pre) x = layers.layer_norm(x, "visual.ln_pre", vision.layer_norm_eps);
  std::vector<Value> after;  // 0, 1, ... blocks
  const auto tokens = layers.transformer(x, "visual.transformer", block, vision.layers, {}, &after);
  const auto pooled = pooled_image(layers, graph, vision, block, tokens);  // [B, D]
  const auto embedding = vision.projection ? layers.project(pooled, "visual.proj") : pooled;
  graph.output(embedding, kImageEmbeds, {"batch", config.embed_dim});
  graph.output(tokens_of_regions(layers, config, after), kImageTokens,
               {"batch", vision.tokens(), width});
  return graph;
}

Graph textual_graph(const Cloc& model) {
  const torch::NoGradGuard no_grad;
  const auto& config = model->config();
  const auto& text = config.text;
  const BlockConfig block = block_config(config, text, text.heads);
  const int64_t length = text.context_length;
  Graph graph("textual");
  Layers layers(graph, model->clip_weights());
  const auto ids = graph.input(kInputIds, torch::kInt64, {"batch", length});
  const auto words = graph.node("Gather", {layers.stored("token_embedding.weight"), ids});
  auto x = layers.add(words, layers.stored("positional_embedding"));  // [B, T, D]
  Value mask;
  if (text.causal) {
    const auto never = -std::numeric_limits<float>::infinity();
    mask = graph.stored("causal_mask", torch::full({length, length}, never).triu(1));
  }
  x = layers.transformer(x, "transformer", block, text.layers, mask);
  const auto normed =
      layers.layer_norm(pooled_text(layers, graph, text, x, ids), "ln_final", text.layer_norm_eps);
  graph.output(text.projection_bias ? layers.linear(normed, "text_projection")
                                    : layers.project(normed, "text_projection"),
               kTextEmbeds, {"batch", config.embed_dim});
  return graph;
}

}  // namespace opencloc::onnx
