// Rotary positions in two dimensions (Su et al., "RoFormer", 2021), as the Perception Encoder has
// them beside its learned positions (Bolya et al., "Perception Encoder", 2025): queries and keys of
// a patch are turned by angles that grow with its place.
#pragma once

#include <torch/types.h>

namespace opencloc {

// How far every token's queries and keys turn: C/2 pairs of numbers per head of width C. Undefined
// tensors: not at all.
struct Rotation {
  torch::Tensor cos, sin;  // [T, C/2], or [B, T, C/2]

  bool defined() const { return cos.defined(); }
  // The rows of these tokens: rows [B, K] int64 -> [B, K, C/2].
  Rotation of(const torch::Tensor& rows) const;
  // With `count` tokens more at the end, which do not turn.
  Rotation then_still(int64_t count) const;
};

struct RotationOptions {
  int64_t grid = 0;  // patches along a side
  int64_t trained_grid =
      0;                   // of the grid whose places the angles count: another one is scaled to it
  int64_t head_width = 0;  // C, a multiple of 4
  bool class_token = false;  // a token in front, which does not turn
};

// F32. Places count from 1. The first C/4 pairs turn with the column, the others with the row; pair
// i of either by 10000^(-i / (C/4)) per place. The two numbers of a pair are neighbours.
Rotation rotation_of_grid(const RotationOptions& options, const torch::Device& device);

// qkv [B, T, 3 D] (query, key, value) with its queries and keys turned, computed in F32. The
// rotation is a constant; qkv gets its gradient.
torch::Tensor rotated(const torch::Tensor& qkv, int64_t heads, const Rotation& rotation);

}  // namespace opencloc
