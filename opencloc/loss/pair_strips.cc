#include <cmath>
#include <limits>

#include "opencloc/loss/pair_block.h"
#include "opencloc/ops/product.h"

namespace opencloc {
namespace {

using torch::Tensor;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Rows [begin, end) of the similarity matrix without the excluded pairs.
struct Strip {
  int64_t begin, end;
  Tensor similarity;     // [end - begin, n]
  Tensor similar_pairs;  // scalar F64; undefined: there are none
};

// body(strip) for the strips of a block, one after the other.
template <typename Body>
void for_each_strip(const PairBlock& block, const Body& body) {
  for (int64_t begin = block.local.begin; begin < block.local.end; begin += block.chunk) {
    const int64_t end = std::min(begin + block.chunk, block.local.end);
    Strip strip{.begin = begin, .end = end, .similarity = {}, .similar_pairs = {}};
    strip.similarity =
        ops::product_nt(block.rows.slice(0, begin, end), block.columns).mul_(block.scale);
    const auto excluded = block.filter.excluded(begin, end);
    if (excluded.pairs.defined()) strip.similarity.masked_fill_(excluded.pairs, -kInfinity);
    strip.similar_pairs = excluded.similar;
    body(strip);
  }
}

}  // namespace

BlockSums sums_in_strips(const PairBlock& block) {
  const int64_t count = block.local.end - block.local.begin;
  BlockSums sums{.row_lse = torch::empty({count}, block.rows.options()),
                 .own = torch::empty({count}, block.rows.options()),
                 .column_lse = {},
                 .similar_pairs = torch::zeros({}, block.rows.options().dtype(torch::kDouble))};
  if (block.directions == Directions::kRowsAndColumns) {
    sums.column_lse = torch::full({block.columns.size(0)}, -kInfinity, block.rows.options());
  }
  for_each_strip(block, [&](const Strip& strip) {
    const auto& s = strip.similarity;
    const int64_t from = strip.begin - block.local.begin, to = strip.end - block.local.begin;
    sums.row_lse.slice(0, from, to).copy_(torch::logsumexp(s, 1));
    sums.own.slice(0, from, to).copy_(s.diagonal(strip.begin));
    if (sums.column_lse.defined()) {
      sums.column_lse = torch::logaddexp(sums.column_lse, torch::logsumexp(s, 0));
    }
    if (strip.similar_pairs.defined()) sums.similar_pairs += strip.similar_pairs;
  });
  return sums;
}

void add_gradient_in_strips(const PairBlock& block, const BlockSums& sums, const Tensor& weight,
                            BlockGradient& gradient) {
  const auto of_cosine = weight * block.scale;
  for_each_strip(block, [&](const Strip& strip) {
    const auto& s = strip.similarity;
    const int64_t from = strip.begin - block.local.begin, to = strip.end - block.local.begin;
    auto g = (s - sums.row_lse.slice(0, from, to).unsqueeze(1)).exp_();
    if (sums.column_lse.defined()) g += (s - sums.column_lse.unsqueeze(0)).exp_();
    g.diagonal(strip.begin) -= sums.column_lse.defined() ? 2 : 1;
    g *= of_cosine;  // of each pair
    const auto rows = block.rows.slice(0, strip.begin, strip.end);
    const auto row_gradient = ops::product(g, block.columns);  // [chunk, E]
    gradient.rows.slice(0, from, to) += row_gradient;
    if (gradient.columns.defined()) gradient.columns += ops::product_tn(g, rows);  // [n, E]
    // sum_ij g_ij a_i . b_j, without touching the excluded pairs' infinities.
    gradient.log_scale += (row_gradient * rows).sum();
  });
}

}  // namespace opencloc
