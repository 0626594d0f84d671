#include "opencloc/model/cloc/prompter.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <torch/nn/functional/normalization.h>
#include <torch/nn/init.h>
#include <torch/utils.h>

#include "opencloc/model/cloc/prompter_numbers.h"
#include "opencloc/model/layers/initial.h"
#include "opencloc/model/layers/positional_encoding.h"
#include "opencloc/ops/mean_of_mlp.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

// With pool `prompt` the layer starts as a soft average of the image around the prompt's own place
// (docs/decisions/prompter_start.md). Keys and queries begin as the same map; values and output
// undo one another; the MLP adds a small part. A token's attention logit on its own likeness at the
// start (the usual maps give D^1/2 / 2, so wide layers would look at one patch alone).
constexpr double kStartLogit = 12.728;
constexpr double kStartMlpShare = 0.1;
constexpr double kStartJointShare = 0.4;  // of the corners beside the centre in the joint token

// Gain of each layer in the sum of several.
constexpr double kStartLayerGain = 1.0 / kSeveralLayers;

// Of the tokens of one part of many prompts, pool all: enough work for all threads between two
// steps, and bounded memory.
constexpr int64_t kPartBytes = int64_t{32} << 20;

// Every row of x [N, ...] with itself.
torch::Tensor each(const torch::Tensor& x) {
  return torch::arange(x.size(0), torch::kInt64);  // [N]
}

// boxes [R, 4] -> [R, N]: the share of each patch that the box covers, beside that of the patch it
// covers most.
torch::Tensor cover(const torch::Tensor& boxes, int64_t patches) {
  const auto grid = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(patches))));
  const auto edges = torch::arange(grid, boxes.options()) / static_cast<double>(grid);  // [grid]
  const auto along = [&](int64_t axis) {
    const auto first = torch::maximum(boxes.select(1, axis).unsqueeze(1), edges);
    const auto last = torch::minimum(boxes.select(1, axis + 2).unsqueeze(1),
                                     edges + 1.0 / static_cast<double>(grid));
    return (last - first).clamp_min(0);  // [R, grid]
  };
  const auto shared = (along(1).unsqueeze(2) * along(0).unsqueeze(1)).flatten(1);  // [R, N]
  return shared / shared.amax(1, /*keepdim=*/true).clamp_min(1e-20);
}

}  // namespace

PrompterImpl::PrompterImpl(const ModelConfig& config)
    : config_(config.cloc), width_(config.vision.width), encoding_grid_(config.encoding_grid()) {
  type_embedding_ =
      register_parameter("type_embedding", initial::normal({prompting::kTokenTypes, width_}, 0.02));
  patch_encoding_ = register_buffer(
      "patch_encoding",
      patch_centre_encoding(config.vision.grid(), width_, encoding_grid_));  // [N, D]
  text_in_ = register_module("text_in", Linear(config.embed_dim, width_));
  if (config_.joint_box_token && config_.box_encoding == BoxEncoding::kCentre)
    joint_in_ = register_module("joint_in", Linear(2 * width_, width_));
  for (size_t i = 0; config_.several_layers && i < kSeveralLayers; ++i) {
    ln_layers_.push_back(register_module("ln_layer_" + std::to_string(i), LayerNorm(width_)));
    const torch::NoGradGuard no_grad;
    if (initial::drawn()) ln_layers_.back()->weight.fill_(kStartLayerGain);
  }
  ln_image_ = register_module("ln_image", LayerNorm(width_));
  const auto mlp_width =
      static_cast<int64_t>(std::lround(static_cast<double>(width_) * config_.mlp_ratio));
  block_ = register_module("block", Block(BlockConfig{width_, 1, mlp_width}));
  if (config_.pool == Pool::kPrompt && initial::drawn()) start_as_average_around_own_place();
  ln_post_ = register_module("ln_post", LayerNorm(width_));
  proj_ = register_parameter("proj", initial::normal({width_, config.embed_dim},
                                                     std::pow(static_cast<double>(width_), -0.5)));
}

void PrompterImpl::start_as_average_around_own_place() {
  const torch::NoGradGuard no_grad;
  auto& weight = block_->attn->in_proj_weight;  // [3 D, D]: queries, keys, values
  const int64_t width = weight.size(1);
  const double root = std::sqrt(static_cast<double>(width));
  auto queries = weight.slice(0, 0, width);
  if (config_.box_encoding == BoxEncoding::kIntegrated) {
    // A random map adds noise to the logits, of which windows of many patches take the highest.
    torch::nn::init::orthogonal_(queries, std::sqrt(kStartLogit / root));
  } else {
    queries.mul_(std::sqrt(kStartLogit / (0.5 * root)));
  }
  weight.slice(0, width, 2 * width).copy_(queries);
  auto values = weight.slice(0, 2 * width);
  torch::nn::init::orthogonal_(values);
  block_->attn->out_proj->weight.copy_(values.t());
  block_->attn->out_proj->bias.zero_();
  block_->mlp->c_proj->weight.mul_(kStartMlpShare);
  block_->mlp->c_proj->bias.zero_();
  if (joint_in_) joint_in_->weight.mul_(kStartJointShare);
}

torch::Tensor PrompterImpl::sum_of_layers(const std::vector<torch::Tensor>& layers) {
  TORCH_CHECK(config_.several_layers && layers.size() == kSeveralLayers,
              "this Prompter reads one layer, or was given others");
  auto sum = ln_layers_[0](layers[0]);
  for (size_t i = 1; i < layers.size(); ++i) sum = sum + ln_layers_[i](layers[i]);
  return sum;  // [B, T, D]
}

torch::Tensor PrompterImpl::places_of(const torch::Tensor& tokens) {
  const int64_t grid = patch_grid(tokens), patches = grid * grid;
  if (patch_encoding_.size(0) == patches) return patch_encoding_;
  if (!other_encoding_.defined() || other_encoding_.size(0) != patches) {
    other_encoding_ =
        patch_centre_encoding(grid, width_, encoding_grid_).to(patch_encoding_.options());
  }
  return other_encoding_;
}

double PrompterImpl::token_weight(const torch::Tensor& tokens) const {
  return prompting::token_weight(encoding_grid_, patch_grid(tokens));
}

PromptContext PrompterImpl::prepare(const torch::Tensor& image_tokens) {
  const auto content = ln_image_(image_tokens);  // [B, T, D]
  torch::Tensor places;                          // [T, D]
  if (config_.position_image_tokens) {
    const auto patches = places_of(content).to(content.scalar_type());  // [N, D]
    const int64_t placeless = content.size(1) - patches.size(0);        // the class token
    places = torch::constant_pad_nd(patches, {0, 0, placeless, 0});     // [T, D]
  }
  const auto placed = [&](const torch::Tensor& tokens, double share) {
    return places.defined() ? tokens + share * places : tokens;  // [B, T, D]
  };
  PromptContext context;
  if (config_.pool == Pool::kPrompt) {
    const auto keys = places.defined() ? prompting::kKeyContent * content + places : content;
    context.keys_values =
        keys_values(block_->ln_1(keys), placed(image_tokens, prompting::kValuePlace));
    return context;
  }
  context.tokens = placed(content, 1);
  const auto normed = block_->ln_1(context.tokens);  // [B, T, D]
  context.queries = block_->attn->queries(normed);   // [B, T, D]
  context.keys_values = keys_and_outputs(normed);    // [B, T, 2 D]
  context.own = ops::indexed_attention(context.queries, context.keys_values, each(normed));
  return context;
}

torch::Tensor PrompterImpl::keys_values(const torch::Tensor& keys, const torch::Tensor& values) {
  const auto& attn = *block_->attn;
  const auto project = [&](const torch::Tensor& tokens, int64_t first_row) {
    return ops::linear(tokens, attn.in_proj_weight.slice(0, first_row, first_row + width_),
                       attn.in_proj_bias.slice(0, first_row, first_row + width_));
  };
  return torch::cat({project(keys, width_), project(values, 2 * width_)}, 2);
}

torch::Tensor PrompterImpl::forward(const PromptContext& context, const PromptBatch& prompts) {
  const auto tokens = prompt_tokens(prompts);  // [R, P, D]
  const auto pooled = config_.pool == Pool::kAll
                          ? pool_all_in_parts(context, tokens, prompts.image_index)
                          : pool_prompt(context, tokens, prompts.image_index);  // [R, D]
  return ops::linear(ln_post_(pooled), proj_.t());                              // [R, E]
}

torch::Tensor PrompterImpl::log_attention_inside(const PromptContext& context,
                                                 const PromptBatch& prompts,
                                                 const torch::Tensor& boxes) {
  TORCH_CHECK(config_.pool == Pool::kPrompt, "attention is looked at with pool prompt alone");
  const auto queries =
      block_->attn->queries(block_->ln_1(prompt_tokens(prompts))).to(torch::kFloat);  // [R, 1, D]
  const auto index = ops::to_device(prompts.image_index, queries.device());
  const auto keys = context.keys_values.slice(2, 0, width_).to(torch::kFloat);  // [B, T, D]
  const auto logits = torch::matmul(queries, keys.index_select(0, index).transpose(1, 2)) /
                      std::sqrt(static_cast<double>(width_));  // [R, 1, T]
  const auto shares = logits.squeeze(1).log_softmax(1);        // [R, T], logarithms
  const int64_t grid = patch_grid(keys), patches = grid * grid;
  const auto of_patches = shares.slice(1, shares.size(1) - patches);  // [R, N]
  // log 0 where the box covers nothing of a patch.
  return (of_patches + cover(boxes, patches).log()).logsumexp(1, /*keepdim=*/true);
}

torch::Tensor PrompterImpl::box_tokens(const torch::Tensor& boxes, PromptKind kind) {
  const int64_t first = kind == PromptKind::kBox ? prompting::kTopLeft : prompting::kMaskTopLeft;
  const auto corners = boxes.view({-1, 2, 2});                                // [R, 2, x y]
  const auto encoded = sinusoidal_encoding(corners, width_, encoding_grid_);  // [R, 2, D]
  auto tokens = encoded;
  if (config_.joint_box_token) {
    // The corners of a box lie beside the object: half-way to the centre a token looks at it.
    const auto centre = corners.mean(1, /*keepdim=*/true);  // [R, 1, 2]
    if (config_.box_encoding == BoxEncoding::kIntegrated) {
      const auto half_way = sinusoidal_encoding((corners + centre) / 2, width_, encoding_grid_);
      const auto whole = integrated_encoding(boxes, width_, encoding_grid_);  // [R, D]
      tokens = torch::cat({half_way, whole.unsqueeze(1)}, 1);                 // [R, 3, D]
      return tokens + type_embedding_.slice(0, first, first + 3);
    }
    const auto places = torch::cat({(corners + centre) / 2, centre}, 1);  // [R, 3, 2]
    const auto joint = joint_in_(encoded.flatten(1)).unsqueeze(1);        // [R, 1, D]
    tokens = sinusoidal_encoding(places, width_, encoding_grid_) +
             torch::constant_pad_nd(joint, {0, 0, 2, 0});  // [R, 3, D]
  }
  return tokens + type_embedding_.slice(0, first, first + tokens.size(1));
}

torch::Tensor PrompterImpl::prompt_tokens(const PromptBatch& prompts) {
  switch (prompts.kind) {
    case PromptKind::kBox:
      return box_tokens(prompts.boxes, prompts.kind);
    case PromptKind::kPoint:
      return sinusoidal_encoding(prompts.points, width_, encoding_grid_) +
             type_embedding_[prompting::kPointType];  // [R, K, D]
    case PromptKind::kMask:
      return torch::cat({box_tokens(prompts.boxes, prompts.kind),
                         sinusoidal_encoding(prompts.points, width_, encoding_grid_) +
                             type_embedding_[prompting::kMaskPoint]},
                        1);
    case PromptKind::kText: {
      // Unit length times sqrt(E): entries of order one, whatever the text tower's scale.
      const auto unit = torch::nn::functional::normalize(
          prompts.text, torch::nn::functional::NormalizeFuncOptions().dim(-1));
      const double scale = std::sqrt(static_cast<double>(unit.size(-1)));
      return (text_in_(unit * scale) + type_embedding_[prompting::kTextType])
          .unsqueeze(1);  // [R, 1, D]
    }
  }
  TORCH_CHECK(false, "unknown prompt kind");
}

// Values that have been through the output projection, which thus is made once an image and not
// once a prompt: shares of values sum to one, so the bias stays whole.
torch::Tensor PrompterImpl::keys_and_outputs(const torch::Tensor& normed) {
  auto& attn = *block_->attn;
  const auto parts = attn.keys_values(normed).chunk(2, -1);
  return torch::cat({parts[0], attn.out_proj(parts[1])}, -1);  // [B, T, 2 D]
}

// In parts, for bounded memory. While a model is trained everything is kept anyway.
torch::Tensor PrompterImpl::pool_all_in_parts(const PromptContext& context,
                                              const torch::Tensor& prompts,
                                              const torch::Tensor& index) {
  const int64_t bytes_of_one = context.tokens.size(1) * width_ * context.tokens.element_size();
  const int64_t part = std::max<int64_t>(1, kPartBytes / bytes_of_one), count = prompts.size(0);
  if (torch::GradMode::is_enabled() || count <= part) return pool_all(context, prompts, index);
  std::vector<torch::Tensor> parts;
  for (int64_t begin = 0; begin < count; begin += part) {
    const int64_t end = std::min(begin + part, count);
    parts.push_back(pool_all(context, prompts.slice(0, begin, end), index.slice(0, begin, end)));
  }
  return torch::cat(parts);  // [R, D]
}

// The paper's reading: the layer runs over the prompt's tokens and the image's, P + T, and the mean
// of all its outputs is taken. What the image's tokens read from one another is in the context;
// here the prompt's few keys are added to it.
torch::Tensor PrompterImpl::pool_all(const PromptContext& context, const torch::Tensor& prompts,
                                     const torch::Tensor& index) {
  const auto rows = ops::to_device(index, prompts.device());  // [R]
  const auto of_image = [&](const torch::Tensor& t) {         // [B, ...] -> [R, ...]
    if (t.size(0) > 1) return t.index_select(0, rows);
    std::vector<int64_t> sizes(static_cast<size_t>(t.dim()), -1);
    sizes.front() = index.size(0);
    return t.expand(sizes);
  };
  const double image_token_weight = token_weight(context.tokens);
  const auto normed = block_->ln_1(prompts);               // [R, P, D]
  const auto queries = block_->attn->queries(normed);      // [R, P, D]
  const auto keys_values = keys_and_outputs(normed);       // [R, P, 2 D]
  const auto weighted = [&](ops::PartialAttention read) {  // of image tokens
    if (image_token_weight != 1) read.log_sum_exp = read.log_sum_exp + std::log(image_token_weight);
    return read;
  };
  const auto of_prompt = ops::add_merged(
      prompts, weighted(ops::indexed_attention(queries, context.keys_values, index)),
      ops::indexed_attention(queries, keys_values, each(normed)));  // [R, P, D]
  const auto own = weighted({of_image(context.own.out), of_image(context.own.log_sum_exp)});
  const auto of_tokens = ops::add_merged(
      of_image(context.tokens), own,
      ops::indexed_attention(of_image(context.queries), keys_values, each(normed)));  // [R, T, D]
  const auto weight = image_token_weight * static_cast<double>(of_tokens.size(1));
  const auto whole = weight + static_cast<double>(of_prompt.size(1));
  return mean_of_layer(of_prompt) * (1 - weight / whole) +
         mean_of_layer(of_tokens) * (weight / whole);  // [R, D]
}

// x [R, T, D] after the attention -> the mean over tokens after the whole layer, [R, D].
torch::Tensor PrompterImpl::mean_of_layer(const torch::Tensor& x) {
  return ops::mean_over_tokens(x) + block_->mlp->mean_over_tokens(block_->ln_2(x));
}

// Only the prompt tokens are carried through the layer; the image's keys and values are shared.
// They read the image and not one another: with keys like queries each would see most of all
// itself.
torch::Tensor PrompterImpl::pool_prompt(const PromptContext& context, const torch::Tensor& prompts,
                                        const torch::Tensor& index) {
  auto& attn = *block_->attn;
  const auto queries = attn.queries(block_->ln_1(prompts));                           // [R, P, D]
  const auto read = ops::indexed_attention(queries, context.keys_values, index).out;  // [R, P, D]
  return mean_of_layer(prompting::kPromptShare * prompts + attn.out_proj(read));      // [R, D]
}

}  // namespace opencloc
