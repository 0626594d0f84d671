#include "opencloc/model/coca/class_token.h"

#include <cmath>
#include <limits>

#include "opencloc/ops/ops.h"

namespace opencloc {
namespace {

// Attention of the last place to those it sees, in plain operations: it is one row.
// qkv [B, T, 3 D], seen [B, T] -> [B, 1, D]
torch::Tensor attend_from_last(const torch::Tensor& qkv, const torch::Tensor& seen, int64_t heads) {
  const int64_t batch = qkv.size(0), places = qkv.size(1), width = qkv.size(2) / 3;
  const auto split = qkv.view({batch, places, 3, heads, width / heads})
                         .permute({2, 0, 3, 1, 4});  // [3, B, H, T, d]
  const double scale = std::pow(static_cast<double>(width / heads), -0.5);
  const auto query = split[0].slice(2, places - 1) * scale;  // [B, H, 1, d]
  const auto scores = query
                          .matmul(split[1].transpose(2, 3))  // [B, H, 1, T]
                          .masked_fill(seen.logical_not().view({batch, 1, 1, places}),
                                       -std::numeric_limits<float>::infinity());
  const auto attended = scores.softmax(-1).matmul(split[2]);  // [B, H, 1, d]
  return attended.transpose(1, 2).reshape({batch, 1, width});
}

torch::Tensor attend(Attention& attention, const torch::Tensor& x, const torch::Tensor& seen) {
  const auto qkv =
      ops::linear(x, attention->in_proj_weight, attention->in_proj_bias);  // [B, T, 3 D]
  const auto causal = ops::self_attention(qkv, attention->heads, ops::Mask::kCausal);
  const auto last = attend_from_last(qkv, seen, attention->heads);
  return attention->out_proj(torch::cat({causal.slice(1, 0, -1), last}, 1));  // [B, T, D]
}

}  // namespace

torch::Tensor blocks_with_class_token(Transformer& transformer, torch::Tensor x,
                                      const torch::Tensor& seen) {
  for (auto& block : transformer->blocks()) {
    x = x + attend(block->attn, block->ln_1(x), seen);
    x = x + block->mlp(block->ln_2(x));
  }
  return x;
}

}  // namespace opencloc
