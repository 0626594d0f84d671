#include "opencloc/loss/info_nce.h"

#include <cmath>

#include <torch/autograd.h>

#include "opencloc/loss/pair_block.h"
#include "opencloc/ops/dispatch.h"

namespace opencloc {

namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

BlockSums sums_of(const PairBlock& block) {
  const bool tiles = ops::runs_on_kernels({block.rows, block.columns, block.filter.texts});
  return tiles ? sums_in_tiles(block) : sums_in_strips(block);
}

void add_gradient(const PairBlock& block, const BlockSums& sums, double weight,
                  BlockGradient& gradient) {
  const bool tiles = ops::runs_on_kernels({block.rows, block.columns, block.filter.texts});
  (tiles ? add_gradient_in_tiles : add_gradient_in_strips)(block, sums, weight, gradient);
}

// With every row local both directions read the same block; else each has its own.
struct Blocks {
  PairBlock forth, back;

  Blocks(const Tensor& a, const Tensor& b, const PairBlock& like) : forth(like), back(like) {
    forth.rows = back.columns = a;
    forth.columns = back.rows = b;
    forth.directions = back.directions =
        like.local.all(a.size(0)) ? Directions::kRowsAndColumns : Directions::kRows;
  }
  bool one_is_enough() const { return forth.directions == Directions::kRowsAndColumns; }
};

double capped_scale(const Tensor& logit_scale) {
  return std::min(std::exp(logit_scale.item<double>()), kMaxLogitScale);
}

double mean_of_pairs(int64_t n) { return 1.0 / static_cast<double>(2 * std::max<int64_t>(n, 1)); }

// Saved for the backward pass besides the two sides; undefined tensors are kept as such.
struct InfoNce : torch::autograd::Function<InfoNce> {
  static Tensor forward(AutogradContext* context, const Tensor& a, const Tensor& b,
                        const Tensor& logit_scale, const PairFilter& filter,
                        const ContrastiveOptions& options, int64_t* similar_pairs) {
    const int64_t n = a.size(0);
    const Blocks blocks(a, b,
                        {.rows = {},
                         .columns = {},
                         .local = local_rows(options, n),
                         .filter = filter,
                         .scale = capped_scale(logit_scale),
                         .chunk = options.chunk});
    const auto sums = sums_of(blocks.forth);
    auto column_lse = sums.column_lse;
    auto total = (sums.row_lse - sums.own).sum();
    if (blocks.one_is_enough()) {
      total += (column_lse - sums.own).sum();
    } else {
      const auto back = sums_of(blocks.back);
      column_lse = back.row_lse;
      total += (back.row_lse - back.own).sum();
    }
    *similar_pairs = sums.similar_pairs;
    context->save_for_backward(
        {a, b, logit_scale, sums.row_lse, column_lse, filter.text_id, filter.texts});
    context->saved_data["threshold"] = filter.threshold;
    context->saved_data["chunk"] = options.chunk;
    context->saved_data["begin"] = blocks.forth.local.begin;
    context->saved_data["end"] = blocks.forth.local.end;
    return total * mean_of_pairs(n);
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& upstream) {
    const auto saved = context->get_saved_variables();
    const Tensor &a = saved[0], &b = saved[1], &row_lse = saved[3], &column_lse = saved[4];
    const Blocks blocks(a, b,
                        {.rows = {},
                         .columns = {},
                         .local = {.begin = context->saved_data["begin"].toInt(),
                                   .end = context->saved_data["end"].toInt()},
                         .filter = {.text_id = saved[5],
                                    .texts = saved[6],
                                    .threshold = context->saved_data["threshold"].toDouble()},
                         .scale = capped_scale(saved[2]),
                         .chunk = context->saved_data["chunk"].toInt()});
    const double weight = upstream[0].item<double>() * mean_of_pairs(a.size(0));
    const auto zeros = [](const Tensor& like) {
      return torch::zeros(like.sizes(), like.options());
    };
    BlockGradient gradient{.rows = zeros(a), .columns = zeros(b)};
    const auto sums_with = [](const Tensor& rows, const Tensor& columns) {
      return BlockSums{.row_lse = rows, .own = {}, .column_lse = columns};
    };
    if (blocks.one_is_enough()) {
      add_gradient(blocks.forth, sums_with(row_lse, column_lse), weight, gradient);
    } else {
      add_gradient(blocks.forth, sums_with(row_lse, {}), weight, gradient);
      std::swap(gradient.rows, gradient.columns);
      add_gradient(blocks.back, sums_with(column_lse, {}), weight, gradient);
      std::swap(gradient.rows, gradient.columns);
    }
    const auto of_scale = torch::full_like(saved[2], gradient.log_scale);
    return {gradient.rows, gradient.columns, of_scale, {}, {}, {}};
  }
};

}  // namespace

LocalRows local_rows(const ContrastiveOptions& options, int64_t n) {
  const int64_t count = options.local_count < 0 ? n - options.local_offset : options.local_count;
  TORCH_CHECK(options.chunk >= 1, "contrastive loss: chunk must be at least 1");
  TORCH_CHECK(options.local_offset >= 0 && count >= 0 && options.local_offset + count <= n,
              "contrastive loss: local rows outside the batch");
  return {.begin = options.local_offset, .end = options.local_offset + count};
}

InfoNceLoss symmetric_info_nce(const Tensor& a, const Tensor& b, const Tensor& logit_scale,
                               const PairFilter& filter, const ContrastiveOptions& options) {
  TORCH_CHECK(a.dim() == 2 && a.sizes() == b.sizes(), "contrastive loss: [n, E] pairs expected");
  TORCH_CHECK(logit_scale.numel() == 1, "contrastive loss: logit_scale must be a scalar");
  InfoNceLoss result;
  result.loss = InfoNce::apply(a, b, logit_scale, filter, options, &result.similar_pairs);
  return result;
}

}  // namespace opencloc
