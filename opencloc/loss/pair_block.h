// The work of symmetric InfoNCE: rows of the similarity matrix against all its columns. Private to
// opencloc/loss. Strips run on tensors of any type and device and wait for none, tiles on F32 in
// main memory; both give the same numbers.
#pragma once

#include <torch/types.h>

#include "opencloc/loss/info_nce.h"
#include "opencloc/loss/pair_filter.h"

namespace opencloc {

enum class Directions { kRows, kRowsAndColumns };

struct PairBlock {
  torch::Tensor rows, columns;  // [n, E] each, pair i = row i of both
  LocalRows local;              // the rows that are read
  PairFilter filter;
  torch::Tensor scale;  // scalar F64 where the rows lie
  Directions directions = Directions::kRowsAndColumns;
  int64_t chunk = 1024;  // rows of a strip
};

// Of s_ij = scale rows_i . columns_j without the pairs the filter excludes.
struct BlockSums {
  torch::Tensor row_lse;        // [local] log sum_j exp s_ij
  torch::Tensor own;            // [local] s_ii
  torch::Tensor column_lse;     // [n] log sum_i exp s_ij; undefined with kRows
  torch::Tensor similar_pairs;  // scalar F64, ExcludedPairs::similar of all rows
};
BlockSums sums_in_strips(const PairBlock& block);
BlockSums sums_in_tiles(const PairBlock& block);

struct BlockGradient {
  torch::Tensor rows;       // [local, E]; added to
  torch::Tensor columns;    // [n, E]; added to; undefined: not wanted
  torch::Tensor log_scale;  // scalar F64 where the rows lie, added to
};
// Adds the gradient of weight (a scalar F64 where the rows lie) * (sum (row_lse - own) + sum
// (column_lse - own)), what a row has to do with: with both sums, all of the loss of the whole
// matrix that its rows change.
void add_gradient_in_strips(const PairBlock& block, const BlockSums& sums,
                            const torch::Tensor& weight, BlockGradient& gradient);
void add_gradient_in_tiles(const PairBlock& block, const BlockSums& sums,
                           const torch::Tensor& weight, BlockGradient& gradient);

}  // namespace opencloc
