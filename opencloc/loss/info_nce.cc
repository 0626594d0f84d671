#include "opencloc/loss/info_nce.h"

#include <cmath>
#include <limits>

#include "opencloc/ops/product.h"

namespace opencloc {

namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A block of the similarity matrix: rows [begin, end) of one side against all of the other.
// With every row local both directions read the same block; else each has its own.
struct Block {
  const Tensor& rows;
  const Tensor& columns;
  const PairFilter& filter;
  double scale;

  // scale * rows[begin, end) columns^T without the excluded pairs -> [end - begin, n].
  Tensor similarity(int64_t begin, int64_t end) const {
    auto s = ops::product_nt(rows.slice(0, begin, end), columns).mul_(scale);
    const auto excluded = filter.excluded(begin, end);
    if (excluded.defined()) s.masked_fill_(excluded, -kInfinity);
    return s;
  }
};

// Calls body(begin, end) for the chunks of `rows`.
template <typename Body>
void for_each_chunk(const LocalRows& rows, int64_t chunk, const Body& body) {
  for (int64_t begin = rows.begin; begin < rows.end; begin += chunk) {
    body(begin, std::min(begin + chunk, rows.end));
  }
}

// The log-sum-exps of every row of the block that is local, and, when `column_lse` is given, of
// every column. Returns the sum over local rows of lse_i - s_ii.
Tensor reduce_block(const Block& block, const LocalRows& local, int64_t chunk, Tensor& row_lse,
                    Tensor* column_lse) {
  auto total = torch::zeros({}, row_lse.options());
  for_each_chunk(local, chunk, [&](int64_t begin, int64_t end) {
    const auto s = block.similarity(begin, end);  // [chunk, n]
    const auto lse = torch::logsumexp(s, 1);      // [chunk]
    row_lse.slice(0, begin - local.begin, end - local.begin).copy_(lse);
    const auto positive = s.diagonal(begin);  // s_ii
    total += (lse - positive).sum();
    if (column_lse != nullptr) {
      *column_lse = torch::logaddexp(*column_lse, torch::logsumexp(s, 0));
      total -= positive.sum();
    }
  });
  return column_lse != nullptr ? total + column_lse->sum() : total;
}

struct BlockGradient {
  Tensor rows, columns;  // [n, E] of the block's two sides; added to
  Tensor scale;          // of log(scale), scalar; added to
};

// Adds `weight` times the gradient of reduce_block's sum.
void reduce_block_backward(const Block& block, const LocalRows& local, int64_t chunk,
                           const Tensor& row_lse, const Tensor& column_lse, const Tensor& weight,
                           BlockGradient& gradient) {
  for_each_chunk(local, chunk, [&](int64_t begin, int64_t end) {
    const auto s = block.similarity(begin, end);  // [chunk, n]
    const auto lse = row_lse.slice(0, begin - local.begin, end - local.begin);
    auto g = (s - lse.unsqueeze(1)).exp_();
    if (column_lse.defined()) g += (s - column_lse.unsqueeze(0)).exp_();
    g.diagonal(begin) -= column_lse.defined() ? 2 : 1;
    g *= weight * block.scale;  // of the cosine of each pair
    const auto rows = block.rows.slice(0, begin, end);
    const auto row_gradient = ops::product(g, block.columns);  // [chunk, E]
    gradient.rows.slice(0, begin, end) += row_gradient;
    gradient.columns += ops::product_tn(g, rows);  // [n, E]
    // sum_ij g_ij a_i . b_j, without touching the excluded pairs' infinities.
    gradient.scale += (row_gradient * rows).sum();
  });
}

// exp(logit_scale), capped.
struct Scale {
  double value;
  bool capped;
};
Scale capped_scale(const Tensor& logit_scale) {
  const double value = std::exp(logit_scale.item<double>());
  return {.value = std::min(value, kMaxLogitScale), .capped = value >= kMaxLogitScale};
}

// Saved for the backward pass besides the two sides; undefined tensors are kept as such.
struct InfoNce : torch::autograd::Function<InfoNce> {
  static Tensor forward(AutogradContext* context, const Tensor& a, const Tensor& b,
                        const Tensor& logit_scale, const PairFilter& filter,
                        const ContrastiveOptions& options) {
    const int64_t n = a.size(0);
    const auto local = local_rows(options, n);
    const auto scale = capped_scale(logit_scale);
    const Block forth{.rows = a, .columns = b, .filter = filter, .scale = scale.value};
    const Block back{.rows = b, .columns = a, .filter = filter, .scale = scale.value};
    auto row_lse = torch::empty({local.end - local.begin}, a.options());
    Tensor column_lse, total;
    if (local.all(n)) {
      column_lse = torch::full({n}, -kInfinity, a.options());
      total = reduce_block(forth, local, options.chunk, row_lse, &column_lse);
    } else {
      column_lse = torch::empty_like(row_lse);
      total = reduce_block(forth, local, options.chunk, row_lse, nullptr) +
              reduce_block(back, local, options.chunk, column_lse, nullptr);
    }
    context->save_for_backward(
        {a, b, logit_scale, row_lse, column_lse, filter.text_id, filter.texts});
    context->saved_data["threshold"] = filter.threshold;
    context->saved_data["chunk"] = options.chunk;
    context->saved_data["begin"] = local.begin;
    context->saved_data["end"] = local.end;
    return total / static_cast<double>(2 * std::max<int64_t>(n, 1));
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& upstream) {
    const auto saved = context->get_saved_variables();
    const Tensor &a = saved[0], &b = saved[1], &row_lse = saved[3], &column_lse = saved[4];
    const PairFilter filter{.text_id = saved[5],
                            .texts = saved[6],
                            .threshold = context->saved_data["threshold"].toDouble()};
    const LocalRows local{.begin = context->saved_data["begin"].toInt(),
                          .end = context->saved_data["end"].toInt()};
    const int64_t chunk = context->saved_data["chunk"].toInt(), n = a.size(0);
    const auto scale = capped_scale(saved[2]);
    const auto weight = upstream[0] / static_cast<double>(2 * std::max<int64_t>(n, 1));
    const Block forth{.rows = a, .columns = b, .filter = filter, .scale = scale.value};
    const Block back{.rows = b, .columns = a, .filter = filter, .scale = scale.value};

    BlockGradient gradient{.rows = torch::zeros_like(a),
                           .columns = torch::zeros_like(b),
                           .scale = torch::zeros_like(saved[2])};
    if (local.all(n)) {
      reduce_block_backward(forth, local, chunk, row_lse, column_lse, weight, gradient);
    } else {
      reduce_block_backward(forth, local, chunk, row_lse, {}, weight, gradient);
      std::swap(gradient.rows, gradient.columns);
      reduce_block_backward(back, local, chunk, column_lse, {}, weight, gradient);
      std::swap(gradient.rows, gradient.columns);
    }
    if (scale.capped) gradient.scale.clamp_min_(0);  // a descent step may only lower it
    return {gradient.rows, gradient.columns, gradient.scale, {}, {}};
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

Tensor symmetric_info_nce(const Tensor& a, const Tensor& b, const Tensor& logit_scale,
                          const PairFilter& filter, const ContrastiveOptions& options) {
  TORCH_CHECK(a.dim() == 2 && a.sizes() == b.sizes(), "contrastive loss: [n, E] pairs expected");
  TORCH_CHECK(logit_scale.numel() == 1, "contrastive loss: logit_scale must be a scalar");
  return InfoNce::apply(a, b, logit_scale, filter, options);
}

}  // namespace opencloc
