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

bool in_tiles(const PairBlock& block) {
  return ops::runs_on_kernels({block.rows, block.columns, block.filter.texts});
}

BlockSums sums_of(const PairBlock& block) {
  return in_tiles(block) ? sums_in_tiles(block) : sums_in_strips(block);
}

void add_gradient(const PairBlock& block, const BlockSums& sums, const Tensor& weight,
                  BlockGradient& gradient) {
  (in_tiles(block) ? add_gradient_in_tiles : add_gradient_in_strips)(block, sums, weight, gradient);
}

// The rows of the group, and this process's among them.
struct Sides {
  Tensor a, b;  // [N, E]
  LocalRows local;
};
Sides gather(const Tensor& a, const Tensor& b, const Tensor& known_b, dist::Group& group) {
  const auto all_a = group.gather(a);
  return {all_a.rows,
          known_b.defined() ? known_b : group.gather(b).rows,
          {all_a.first, all_a.first + a.size(0)}};
}

// Alone, both directions read the same block; else each has its own (in a process that happens to
// hold every row, too: all of them must make the same exchanges).
struct Blocks {
  PairBlock forth, back;

  Blocks(const Sides& sides, const PairBlock& like, bool alone) : forth(like), back(like) {
    forth.rows = back.columns = sides.a;
    forth.columns = back.rows = sides.b;
    forth.local = back.local = sides.local;
    forth.directions = back.directions = alone ? Directions::kRowsAndColumns : Directions::kRows;
  }
  bool one_is_enough() const { return forth.directions == Directions::kRowsAndColumns; }
};

Tensor capped_scale(const Tensor& logit_scale) { return exp_at_most(logit_scale, kMaxLogitScale); }

double mean_of_pairs(int64_t n) { return 1.0 / static_cast<double>(2 * std::max<int64_t>(n, 1)); }

// The weight of each pair turns what a block gives for pairs that all count alike into its own: a
// sum of shares exp(s - lse) times w is one of exp(s - (lse - log w)), and the diagonal, from which
// a block takes 1 for each direction, is mended.
Tensor weighted_lse(const Tensor& lse, const Tensor& weight) {
  return weight.defined() ? lse - weight.log() : lse;
}

// What the block's own `directions` times the unweighted diagonal took too much of own rows.
void mend_diagonal(const Tensor& a, const Tensor& b, const Tensor& own_weight, const Tensor& factor,
                   BlockGradient& gradient, Tensor* of_b) {
  const auto part = ((1 - own_weight) * factor).unsqueeze(1);  // [n, 1]
  gradient.rows += part * b;
  if (of_b != nullptr) *of_b += part * a;
  gradient.log_scale += (part * a * b).sum();
}

// Saved for the backward pass besides the two sides; undefined tensors are kept as such.
struct InfoNce : torch::autograd::Function<InfoNce> {
  static Tensor forward(AutogradContext* context, const Tensor& a, const Tensor& b,
                        const Tensor& logit_scale, const PairFilter& filter,
                        const ContrastiveOptions& options, const Tensor* all_b,
                        Tensor* similar_pairs) {
    const Sides sides = gather(a, b, *all_b, *options.group);
    const int64_t n = sides.a.size(0);
    const Blocks blocks(sides, block_like(filter, capped_scale(logit_scale), options.chunk),
                        options.group->size() == 1);
    const auto sums = sums_of(blocks.forth);
    auto row_lse = sums.row_lse, column_lse = sums.column_lse;  // of all rows
    const Tensor& w = options.weight;
    const auto weighted = [&](const Tensor& of_own) { return w.defined() ? w * of_own : of_own; };
    auto total = weighted(sums.row_lse - sums.own).sum();
    if (blocks.one_is_enough()) {
      total += weighted(column_lse - sums.own).sum();
    } else {
      const auto back = sums_of(blocks.back);
      total += weighted(back.row_lse - back.own).sum();
      row_lse = options.group->gather(sums.row_lse).rows;
      column_lse = options.group->gather(back.row_lse).rows;
    }
    *similar_pairs = sums.similar_pairs;
    context->save_for_backward({sides.a, sides.b, logit_scale, row_lse, column_lse, filter.text_id,
                                filter.texts,
                                w.defined() ? options.group->gather(w).rows : Tensor()});
    context->saved_data["threshold"] = filter.threshold;
    context->saved_data["chunk"] = options.chunk;
    context->saved_data["alone"] = options.group->size() == 1;
    context->saved_data["begin"] = sides.local.begin;
    context->saved_data["end"] = sides.local.end;
    context->saved_data["backend"] = static_cast<int64_t>(backend_now());
    return total * mean_of_pairs(n);
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& upstream) {
    const BackendScope as_forward(static_cast<Backend>(context->saved_data["backend"].toInt()));
    const auto saved = context->get_saved_variables();
    const Sides sides{
        saved[0],
        saved[1],
        {.begin = context->saved_data["begin"].toInt(), .end = context->saved_data["end"].toInt()}};
    const Tensor& pair_weight = saved[7];  // [N], or undefined
    const auto row_lse = weighted_lse(saved[3], pair_weight),
               column_lse = weighted_lse(saved[4], pair_weight);
    const Blocks blocks(sides,
                        block_like({.text_id = saved[5],
                                    .texts = saved[6],
                                    .threshold = context->saved_data["threshold"].toDouble()},
                                   capped_scale(saved[2]), context->saved_data["chunk"].toInt()),
                        context->saved_data["alone"].toBool());
    const auto weight = upstream[0].to(torch::kDouble) * mean_of_pairs(sides.a.size(0));
    const auto own = [&](const Tensor& of_all) {
      return of_all.slice(0, sides.local.begin, sides.local.end);
    };
    const auto zeros = [&](const Tensor& of_all) {
      return torch::zeros(own(of_all).sizes(), of_all.options());
    };
    const auto none = torch::zeros({}, weight.options());
    BlockGradient forth{.rows = zeros(sides.a), .columns = {}, .log_scale = none};
    Tensor of_b;
    if (blocks.one_is_enough()) {
      forth.columns = of_b = zeros(sides.b);
      add_gradient(blocks.forth,
                   {.row_lse = row_lse, .own = {}, .column_lse = column_lse, .similar_pairs = {}},
                   weight, forth);
      if (pair_weight.defined()) {
        const auto both = 2 * weight * blocks.forth.scale;
        mend_diagonal(sides.a, sides.b, pair_weight, both, forth, &of_b);
      }
    } else {
      // Own rows of a against all of b: their part of every sum, others' columns included. The
      // scale's gradient is the rows' of a; those of b would count each pair again.
      add_gradient(blocks.forth,
                   {.row_lse = own(row_lse).contiguous(),
                    .own = {},
                    .column_lse = column_lse,
                    .similar_pairs = {}},
                   weight, forth);
      BlockGradient back{.rows = zeros(sides.b), .columns = {}, .log_scale = none.clone()};
      add_gradient(blocks.back,
                   {.row_lse = own(column_lse).contiguous(),
                    .own = {},
                    .column_lse = row_lse,
                    .similar_pairs = {}},
                   weight, back);
      if (pair_weight.defined()) {
        // Each block took 2 from its diagonal, of rows of a and of b.
        const auto factor = 2 * weight * blocks.forth.scale;
        const auto own_weight = own(pair_weight);
        mend_diagonal(own(sides.a), own(sides.b), own_weight, factor, forth, nullptr);
        mend_diagonal(own(sides.b), own(sides.a), own_weight, factor, back, nullptr);
      }
      of_b = back.rows;
    }
    return {forth.rows, of_b, forth.log_scale.to(saved[2].scalar_type()).view(saved[2].sizes()),
            {},         {},   {},
            {}};
  }

 private:
  static PairBlock block_like(const PairFilter& filter, const Tensor& scale, int64_t chunk) {
    return {
        .rows = {}, .columns = {}, .local = {}, .filter = filter, .scale = scale, .chunk = chunk};
  }
};

}  // namespace

Tensor exp_at_most(const Tensor& x, double cap) {
  const auto value = x.detach();
  if (ops::runs_on_kernels({value}))
    return torch::scalar_tensor(std::min(std::exp(value.item<double>()), cap), torch::kDouble);
  return value.to(torch::kDouble).exp().clamp_max(cap).squeeze();
}

InfoNceLoss symmetric_info_nce(const Tensor& a, const Tensor& b, const Tensor& logit_scale,
                               const PairFilter& filter, const ContrastiveOptions& options,
                               const Tensor& all_b) {
  TORCH_CHECK(a.dim() == 2 && a.sizes() == b.sizes(), "contrastive loss: [n, E] pairs expected");
  TORCH_CHECK(logit_scale.numel() == 1, "contrastive loss: logit_scale must be a scalar");
  TORCH_CHECK(options.chunk >= 1, "contrastive loss: chunk must be at least 1");
  InfoNceLoss result;
  result.loss = InfoNce::apply(a, b, logit_scale, filter, options, &all_b, &result.similar_pairs);
  return result;
}

}  // namespace opencloc
