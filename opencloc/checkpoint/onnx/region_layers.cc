#include "opencloc/checkpoint/onnx/region_layers.h"

#include <cmath>
#include <limits>
#include <numbers>

#include <torch/utils.h>

#include "opencloc/model/cloc/prompter_numbers.h"
#include "opencloc/model/layers/positional_encoding.h"

namespace opencloc::onnx {
namespace {

constexpr const char* kAttention = "prompter.block.attn";
constexpr int64_t kAllTheRest = std::numeric_limits<int64_t>::max();

}  // namespace

RegionLayers::RegionLayers(Graph& graph, const Cloc& model)
    : graph_(graph),
      config_(model->config()),
      layers_(graph, model->region_weights()),
      width_(config_.vision.width) {
  if (!config_.cloc.position_image_tokens) return;
  const int64_t class_tokens = config_.vision.tokens() - config_.vision.patches();
  const auto patches = patch_centre_encoding(config_.vision.grid(), width_,
                                             config_.encoding_grid());  // [N, D]
  places_ = torch::constant_pad_nd(patches, {0, 0, class_tokens, 0});   // [T, D]
}

// places [..., x y] -> their encoding, in this shape.
Value RegionLayers::encoded(const Value& places, const std::vector<int64_t>& shape) {
  const auto frequencies = graph_.stored(
      "frequencies", encoding_frequencies(width_, config_.encoding_grid()));  // [D / 4]
  const auto turns = layers_.multiply(layers_.unsqueeze(places, -1), frequencies);
  const auto angles = layers_.scaled(turns, 2 * std::numbers::pi);  // [..., 2, D / 4]
  const auto both =
      layers_.concat({graph_.node("Sin", {angles}), graph_.node("Cos", {angles})}, -1);
  return layers_.reshape(both, shape);
}

// corners [B, R, 2, x y] and their centre [B, R, 1, 2] -> [B, R, 1, D]: integrated_encoding().
Value RegionLayers::integrated(const Value& corners, const Value& centre) {
  const auto sides = layers_.add(layers_.slice(corners, 2, 1, 2),
                                 layers_.scaled(layers_.slice(corners, 2, 0, 1), -1));
  const auto frequencies =
      graph_.stored("frequencies", encoding_frequencies(width_, config_.encoding_grid()));
  // sin(x) / x of the turns of a side. Below the floor it is 1 in F32.
  const auto cycles = layers_.multiply(layers_.unsqueeze(sides, -1), frequencies);
  const auto half_turns = graph_.node(
      "Max",
      {graph_.node("Abs", {layers_.scaled(cycles, std::numbers::pi)}), graph_.number(1e-6F)});
  const auto share = graph_.node("Div", {graph_.node("Sin", {half_turns}), half_turns});
  const auto both = layers_.concat({share, share}, -1);  // of the sine and the cosine
  return layers_.multiply(encoded(centre, {0, 0, 1, width_}),
                          layers_.reshape(both, {0, 0, 1, width_}));
}

// tokens [B, R, P, D] plus rows of the type embedding.
Value RegionLayers::typed(const Value& tokens, int64_t first, int64_t count) {
  const auto rows = layers_.weight("prompter.type_embedding").detach();  // [kinds, D]
  return layers_.add(tokens,
                     graph_.stored("prompter.type_embedding", rows.slice(0, first, first + count)));
}

Value RegionLayers::box_tokens(const Value& boxes) {
  const auto corners = layers_.reshape(boxes, {0, 0, 2, 2});    // [B, R, 2, x y]
  const auto of_corners = encoded(corners, {0, 0, 2, width_});  // [B, R, 2, D]
  if (!config_.cloc.joint_box_token) return typed(of_corners, prompting::kTopLeft, tokens_of_box());
  const auto centre =
      graph_.node("ReduceMean", {corners},
                  {{"axes", std::vector<int64_t>{2}}, {"keepdims", int64_t{1}}});  // [B, R, 1, 2]
  const auto between = layers_.scaled(layers_.add(corners, centre), 0.5);
  if (config_.cloc.box_encoding == BoxEncoding::kIntegrated) {
    const auto half_way = encoded(between, {0, 0, 2, width_});
    return typed(layers_.concat({half_way, integrated(corners, centre)}, 2), prompting::kTopLeft,
                 tokens_of_box());
  }
  const auto places = layers_.concat({between, centre}, 2);  // [B, R, 3, 2]
  const auto joint = layers_.unsqueeze(
      layers_.linear(layers_.reshape(of_corners, {0, 0, 2 * width_}), "prompter.joint_in"), 2);
  const auto third = graph_.node("Pad", {joint, graph_.ints({0, 0, 2, 0, 0, 0, 0, 0})});
  return typed(layers_.add(encoded(places, {0, 0, 3, width_}), third), prompting::kTopLeft,
               tokens_of_box());
}

Value RegionLayers::point_tokens(const Value& points) {
  const auto places = layers_.unsqueeze(points, 2);  // [B, R, 1, x y]
  return typed(encoded(places, {0, 0, 1, width_}), prompting::kPointType, 1);
}

Value RegionLayers::text_tokens(const Value& text) {
  const auto length = graph_.node("ReduceL2", {text},
                                  {{"axes", std::vector<int64_t>{-1}}, {"keepdims", int64_t{1}}});
  const auto unit = graph_.node("Div", {text, graph_.node("Max", {length, graph_.number(1e-12F)})});
  const auto scaled = layers_.scaled(unit, std::sqrt(static_cast<double>(config_.embed_dim)));
  const auto token = layers_.unsqueeze(layers_.linear(scaled, "prompter.text_in"), 2);
  return typed(token, prompting::kTextType, 1);  // [B, R, 1, D]
}

// tokens [B, T, D] with a share of their places.
Value RegionLayers::placed(const Value& tokens, double share) {
  if (!places_.defined()) return tokens;
  auto places = graph_.stored("patch_encoding", places_);
  return layers_.add(tokens, share == 1 ? places : layers_.scaled(places, share));
}

Value RegionLayers::prompted(const Value& image_tokens, const Value& prompts,
                             int64_t tokens_of_one) {
  const auto pooled = config_.cloc.pool == Pool::kAll
                          ? pool_all(image_tokens, prompts, tokens_of_one)
                          : pool_prompt(image_tokens, prompts, tokens_of_one);  // [B, R, D]
  return layers_.project(layers_.layer_norm(pooled, "prompter.ln_post"), "prompter.proj");
}

// x [B, R, T, D] after the attention -> [B, R, D], the mean over tokens after the whole layer.
Value RegionLayers::mean_of_layer(const Value& x) {
  const auto normed = layers_.layer_norm(x, "prompter.block.ln_2");
  const auto hidden =
      layers_.gelu(layers_.linear(normed, "prompter.block.mlp.c_fc"), ops::Gelu::kErf);
  return layers_.add(layers_.mean(x, 2),
                     layers_.linear(layers_.mean(hidden, 2), "prompter.block.mlp.c_proj"));
}

Value RegionLayers::pool_prompt(const Value& image_tokens, const Value& prompts,
                                int64_t tokens_of_one) {
  const auto content = layers_.layer_norm(image_tokens, "prompter.ln_image");
  const auto keys =
      places_.defined() ? placed(layers_.scaled(content, prompting::kKeyContent), 1) : content;
  const auto k = layers_.in_proj(layers_.layer_norm(keys, "prompter.block.ln_1"), kAttention, 1);
  const auto v = layers_.in_proj(placed(image_tokens, prompting::kValuePlace), kAttention, 2);
  const auto q = layers_.in_proj(layers_.layer_norm(prompts, "prompter.block.ln_1"), kAttention, 0);
  const auto read = layers_.attend(layers_.reshape(q, {0, -1, width_}),
                                   layers_.transpose(k, {0, 2, 1}), v, width_);  // [B, R P, D]
  const auto out = layers_.reshape(layers_.linear(read, std::string(kAttention) + ".out_proj"),
                                   {0, -1, tokens_of_one, width_});
  return mean_of_layer(layers_.add(layers_.scaled(prompts, prompting::kPromptShare), out));
}

// Values that have been through the output projection.
Value RegionLayers::value_out(const Value& x) {
  return layers_.linear(layers_.in_proj(x, kAttention, 2), std::string(kAttention) + ".out_proj");
}

// One layer over the prompt's tokens and the image's. What the image's tokens read from one another
// is computed once an image, as a maximum, a sum and a mean, to which each prompt's keys are added.
Value RegionLayers::pool_all(const Value& image_tokens, const Value& prompts,
                             int64_t tokens_of_one) {
  const int64_t count = config_.vision.tokens(), of_one = tokens_of_one;  // T, P
  const double weight = prompting::token_weight(config_.encoding_grid(), config_.vision.grid());
  const double scale = 1 / std::sqrt(static_cast<double>(width_));
  const auto reduced = [&](const char* op, const Value& x) {  // over the last axis, which stays
    if (std::string_view(op) == "ReduceSum")
      return graph_.node(op, {x, graph_.ints({-1})}, {{"keepdims", int64_t{1}}});
    return graph_.node(op, {x}, {{"axes", std::vector<int64_t>{-1}}, {"keepdims", int64_t{1}}});
  };
  const auto product = [&](const Value& a, const Value& b) {
    return graph_.node("MatMul", {a, b});
  };
  const auto exp_less = [&](const Value& x, const Value& less) {
    return graph_.node("Exp", {graph_.node("Sub", {x, less})});
  };
  const auto weighted = [&](const Value& scores) {  // of image tokens
    return weight == 1 ? scores
                       : layers_.add(scores, graph_.number(static_cast<float>(std::log(weight))));
  };
  const auto tokens = placed(layers_.layer_norm(image_tokens, "prompter.ln_image"), 1);
  const auto normed = layers_.layer_norm(tokens, "prompter.block.ln_1");
  const auto q = layers_.scaled(layers_.in_proj(normed, kAttention, 0), scale);  // [B, T, D]
  const auto k_t = layers_.transpose(layers_.in_proj(normed, kAttention, 1), {0, 2, 1});
  const auto v = value_out(normed);  // [B, T, D]
  const auto prompt_normed = layers_.layer_norm(prompts, "prompter.block.ln_1");
  const auto prompt_q = layers_.scaled(layers_.in_proj(prompt_normed, kAttention, 0), scale);
  const auto prompt_k = layers_.in_proj(prompt_normed, kAttention, 1);  // [B, R, P, D]
  const auto prompt_v = value_out(prompt_normed);                       // [B, R, P, D]

  // The prompt's tokens read the image's and one another.
  const auto to_image = layers_.reshape(product(layers_.reshape(prompt_q, {0, -1, width_}), k_t),
                                        {0, -1, of_one, count});
  const auto to_prompt = product(prompt_q, layers_.transpose(prompt_k, {0, 1, 3, 2}));
  const auto shares = layers_.softmax(layers_.concat({weighted(to_image), to_prompt}, -1));
  const auto of_image = layers_.reshape(layers_.slice(shares, 3, 0, count), {0, -1, count});
  const auto from_image =
      layers_.reshape(product(of_image, v), {0, -1, of_one, width_});  // [B, R, P, D]
  const auto from_prompt = product(layers_.slice(shares, 3, count, kAllTheRest), prompt_v);
  const auto prompt_after = layers_.add(prompts, layers_.add(from_image, from_prompt));

  // The image's tokens read one another ...
  const auto own_scores = product(q, k_t);                 // [B, T, T]
  const auto own_most = reduced("ReduceMax", own_scores);  // [B, T, 1]
  const auto own_shares = exp_less(own_scores, own_most);
  const auto own_sum = reduced("ReduceSum", own_shares);
  const auto own_mean = graph_.node("Div", {product(own_shares, v), own_sum});  // [B, T, D]
  const auto own_weight = layers_.unsqueeze(
      weighted(layers_.add(own_most, graph_.node("Log", {own_sum}))), 1);  // [B, 1, T, 1]
  // ... and the prompt's.
  const auto flat_k = layers_.transpose(layers_.reshape(prompt_k, {0, -1, width_}), {0, 2, 1});
  const auto scores = layers_.transpose(layers_.reshape(product(q, flat_k), {0, 0, -1, of_one}),
                                        {0, 2, 1, 3});  // [B, R, T, P]
  const auto most = graph_.node("Max", {own_weight, reduced("ReduceMax", scores)});
  const auto own = exp_less(own_weight, most);  // [B, R, T, 1]
  const auto parts = exp_less(scores, most);    // [B, R, T, P]
  const auto sum = layers_.add(own, reduced("ReduceSum", parts));
  const auto read = layers_.add(layers_.multiply(own, layers_.unsqueeze(own_mean, 1)),
                                product(parts, prompt_v));  // [B, R, T, D]
  const auto tokens_after =
      layers_.add(layers_.unsqueeze(tokens, 1), graph_.node("Div", {read, sum}));

  const double image_share = weight * static_cast<double>(count);
  const double whole = image_share + static_cast<double>(of_one);
  return layers_.add(layers_.scaled(mean_of_layer(prompt_after), 1 - image_share / whole),
                     layers_.scaled(mean_of_layer(tokens_after), image_share / whole));
}

// Boxes from low to high, [B, R, 1] both -> the weights of the grid's rows or columns [B, R, g].
Value RegionLayers::axis_weights(const Value& low, const Value& high) {
  const int64_t cells = config_.vision.grid();
  const auto side = static_cast<double>(cells);
  const auto number = [&](double value) { return graph_.number(static_cast<float>(value)); };
  const auto start = layers_.scaled(low, side);
  const auto span = graph_.node("Sub", {layers_.scaled(high, side), start});
  const auto exact = graph_.node("Sub", {span, number(kRoiRounding)});
  const auto samples = graph_.node("Clip", {graph_.node("Ceil", {exact}), number(1), number(side)});
  const auto order = graph_.stored("numbers", torch::arange(cells, torch::kFloat));   // [S], S = g
  const auto steps = graph_.node("Div", {layers_.add(order, number(0.5)), samples});  // [B, R, S]
  const auto along = layers_.add(start, layers_.multiply(span, steps));
  const auto places =
      graph_.node("Clip", {graph_.node("Sub", {along, number(0.5)}), number(0), number(side - 1)});
  const auto distance =
      graph_.node("Abs", {graph_.node("Sub", {layers_.unsqueeze(places, -1), order})});
  const auto near = graph_.node("Relu", {graph_.node("Sub", {number(1), distance})});
  // Samples beyond the box's own weigh nothing. near [B, R, S, g]
  const auto counted =
      graph_.node("Cast", {graph_.node("Less", {order, samples})}, {{"to", int64_t{1}}});
  const auto summed = graph_.node(
      "ReduceSum", {layers_.multiply(near, layers_.unsqueeze(counted, -1)), graph_.ints({2})},
      {{"keepdims", int64_t{0}}});
  return graph_.node("Div", {summed, samples});
}

Value RegionLayers::roi_aligned(const Value& image_tokens, const Value& boxes) {
  const auto edge = [&](int64_t i) { return layers_.slice(boxes, 2, i, i + 1); };  // [B, R, 1]
  const auto columns = axis_weights(edge(0), edge(2)), rows = axis_weights(edge(1), edge(3));
  const auto weights =
      layers_.reshape(layers_.multiply(layers_.unsqueeze(rows, -1), layers_.unsqueeze(columns, 2)),
                      {0, 0, config_.vision.patches()});  // [B, R, N]
  const auto patches =
      config_.vision.class_token ? layers_.slice(image_tokens, 1, 1, kAllTheRest) : image_tokens;
  const auto found = graph_.node("MatMul", {weights, patches});  // [B, R, D]
  return layers_.project(layers_.layer_norm(found, "roi_extractor.ln_post"), "roi_extractor.proj");
}

Value RegionLayers::head(const Value& regions, const std::string& name) {
  const auto hidden = layers_.gelu(layers_.linear(regions, name + ".fc1"), ops::Gelu::kErf);
  return layers_.linear(hidden, name + ".fc2");
}

Value RegionLayers::box_of(const Value& regions) {
  const auto raw = graph_.node("Sigmoid", {head(regions, "box_head")});  // [B, R, 4] cx cy w h
  const auto centre = layers_.slice(raw, 2, 0, 2);
  const auto half = layers_.scaled(layers_.slice(raw, 2, 2, 4), 0.5);
  return layers_.concat({graph_.node("Sub", {centre, half}), layers_.add(centre, half)}, 2);
}

}  // namespace opencloc::onnx
