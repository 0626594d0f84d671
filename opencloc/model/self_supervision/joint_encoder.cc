#include "opencloc/model/self_supervision/joint_encoder.h"

#include <cmath>
#include <map>

#include <torch/utils.h>

#include "opencloc/model/layers/initial.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

constexpr double kTypeStart = 0.02;  // M3AE's deviation of type embeddings

// Normed tokens [B, T, D] -> their parts; `patches` of them come after the class token.
JointTokens parts_of(const torch::Tensor& tokens, int64_t patches, bool class_token) {
  const int64_t first = class_token ? 1 : 0;
  JointTokens parts;
  if (class_token) parts.class_token = tokens.slice(1, 0, 1);
  parts.patches = tokens.slice(1, first, first + patches);
  if (tokens.size(1) > first + patches) parts.words = tokens.slice(1, first + patches);
  return parts;
}

}  // namespace

void SeenWords::group(const std::vector<int64_t>& seen, torch::Device device) {
  std::map<int64_t, std::vector<int64_t>> by_count;
  for (size_t row = 0; row < seen.size(); ++row)
    by_count[seen[row]].push_back(static_cast<int64_t>(row));
  auto places = torch::empty({static_cast<int64_t>(seen.size())}, torch::kInt64);
  int64_t place = 0;
  groups.clear();
  for (const auto& [count, rows] : by_count) {
    for (const int64_t row : rows) places.data_ptr<int64_t>()[row] = place++;
    groups.emplace_back(ops::to_device(torch::tensor(rows, torch::kInt64), device), count);
  }
  restore = ops::to_device(places, device);
}

JointEncoderImpl::JointEncoderImpl(const ModelConfig& model)
    : class_token_(model.vision.class_token) {
  const int64_t width = model.vision.width;
  // As the tower's own places; its first norm brings words to the size of patches.
  const double scale = std::pow(static_cast<double>(width), -0.5);
  embedding_ =
      register_parameter("word_embedding", initial::normal({model.text.vocab_size, width}, scale));
  places_ = register_parameter("word_positional_embedding",
                               initial::normal({model.text.context_length, width}, scale));
  type_ = register_parameter("word_type_embedding", initial::normal({width}, kTypeStart));
}

torch::Tensor JointEncoderImpl::embed(const torch::Tensor& ids, const torch::Tensor& keep) const {
  const auto places =
      places_.index_select(0, keep.flatten()).view({keep.size(0), keep.size(1), places_.size(1)});
  return torch::embedding(embedding_, ids.gather(1, keep)) + places + type_;
}

JointTokens JointEncoderImpl::forward(VisionTower& tower, const torch::Tensor& pixels,
                                      const torch::Tensor& keep, const SeenWords& words) {
  std::vector<torch::Tensor> first, patches, behind;
  const int64_t most = words.keep.size(1);
  for (const auto& [rows, count] : words.groups) {
    EncodeOptions options;
    options.keep = keep.index_select(0, rows);
    if (count > 0) {
      options.appended = embed(words.ids.index_select(0, rows),
                               words.keep.index_select(0, rows).slice(1, 0, count));  // [g, k, D]
    }
    const auto tokens = tower->forward(pixels.index_select(0, rows), options).tokens;
    const JointTokens parts = parts_of(tower->post_norm(tokens), keep.size(1), class_token_);
    if (class_token_) first.push_back(parts.class_token);
    patches.push_back(parts.patches);
    behind.push_back(
        parts.words.defined()
            ? torch::constant_pad_nd(parts.words, {0, 0, 0, most - count})
            : torch::zeros({rows.size(0), most, parts.patches.size(2)}, parts.patches.options()));
  }
  const auto in_order = [&](const std::vector<torch::Tensor>& groups) {
    return torch::cat(groups).index_select(0, words.restore);
  };
  JointTokens tokens{{}, in_order(patches), in_order(behind)};
  if (class_token_) tokens.class_token = in_order(first);
  return tokens;
}

JointTokens encode_patches(VisionTower& tower, const torch::Tensor& pixels,
                           const torch::Tensor& keep, bool class_token) {
  EncodeOptions options;
  options.keep = keep;
  return parts_of(tower->post_norm(tower->forward(pixels, options).tokens), keep.size(1),
                  class_token);
}

}  // namespace opencloc
