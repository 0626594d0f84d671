#include <algorithm>
#include <limits>
#include <unordered_set>
#include <vector>

#include <torch/autograd.h>

#include "opencloc/loss/info_nce.h"
#include "opencloc/loss/loss.h"
#include "opencloc/ops/precision.h"
#include "opencloc/ops/product.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr double kNone = -std::numeric_limits<double>::infinity();

// Rows [begin, end) of the logits between texts [U, E], -inf where a pair is no negative.
struct TextStrip {
  Tensor logits;    // [end - begin, U]
  Tensor left_out;  // scalar int64: pairs above the threshold
};
TextStrip text_strip(const Tensor& texts, const Tensor& scale, double threshold, int64_t begin,
                     int64_t end) {
  auto cosine = ops::product_nt(texts.slice(0, begin, end), texts);
  auto excluded = cosine > threshold;
  excluded.diagonal(begin).fill_(false);
  TextStrip strip{{}, excluded.sum()};
  excluded.diagonal(begin).fill_(true);
  strip.logits = cosine.mul_(scale).masked_fill_(excluded, kNone);
  return strip;
}

// Every process has the rows of its own texts, and gives them their whole gradient: also what they
// have part in as the negatives of others, for which these' log-sum-exps are exchanged.
struct TextRepulsion : torch::autograd::Function<TextRepulsion> {
  static Tensor forward(AutogradContext* context, const Tensor& own, const Tensor& logit_scale,
                        double threshold, const ContrastiveOptions& options, Tensor* left_out) {
    const auto gathered = options.group->gather(own);
    const Tensor& texts = gathered.rows;  // [U, E]
    const int64_t first = gathered.first, last = first + own.size(0);
    const auto scale = exp_at_most(logit_scale, kMaxLogitScale);
    auto lse = torch::empty({own.size(0)}, own.options());  // of own rows
    *left_out = torch::zeros({}, own.options().dtype(torch::kDouble));
    for (int64_t begin = first; begin < last; begin += options.chunk) {
      const int64_t end = std::min(begin + options.chunk, last);
      const auto strip = text_strip(texts, scale, threshold, begin, end);
      lse.slice(0, begin - first, end - first).copy_(torch::logsumexp(strip.logits, 1));
      *left_out += strip.left_out;
    }
    context->save_for_backward({texts, options.group->gather(lse).rows, logit_scale});
    context->saved_data["threshold"] = threshold;
    context->saved_data["chunk"] = options.chunk;
    context->saved_data["begin"] = first;
    context->saved_data["end"] = last;
    context->saved_data["backend"] = static_cast<int64_t>(backend_now());
    const auto total = lse.masked_fill(lse == kNone, 0).sum();  // without a negative: 0
    return total / static_cast<double>(std::max<int64_t>(texts.size(0), 1));
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& upstream) {
    const BackendScope as_forward(static_cast<Backend>(context->saved_data["backend"].toInt()));
    const auto saved = context->get_saved_variables();
    const Tensor &texts = saved[0], &lse = saved[1];
    const auto scale = exp_at_most(saved[2], kMaxLogitScale);
    const int64_t first = context->saved_data["begin"].toInt(),
                  last = context->saved_data["end"].toInt(),
                  chunk = context->saved_data["chunk"].toInt();
    // A text without a negative: exp(-inf - inf) is 0, and not exp(-inf + inf).
    const auto safe_lse = lse.masked_fill(lse == kNone, -kNone);
    const auto weight = upstream[0].to(torch::kDouble) * scale /
                        static_cast<double>(std::max<int64_t>(texts.size(0), 1));
    auto gradient = torch::zeros({last - first, texts.size(1)}, texts.options());
    for (int64_t begin = first; begin < last; begin += chunk) {
      const int64_t end = std::min(begin + chunk, last);
      const auto s =
          text_strip(texts, scale, context->saved_data["threshold"].toDouble(), begin, end).logits;
      auto g = (s - safe_lse.slice(0, begin, end).unsqueeze(1)).exp_();
      g += (s - safe_lse.unsqueeze(0)).exp_();
      g *= weight;
      gradient.slice(0, begin - first, end - first).copy_(ops::product(g, texts));
    }
    return {gradient, {}, {}, {}, {}};
  }
};

// Of text_id [N]: the rows in [begin, end) that are the first of their text among all N, counted
// from `begin`.
std::vector<int64_t> first_of_their_text(const Tensor& text_id, int64_t begin, int64_t end) {
  const auto ids = text_id.contiguous();
  const auto* id = ids.data_ptr<int64_t>();
  std::unordered_set<int64_t> seen;
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < end; ++i)
    if (seen.insert(id[i]).second && i >= begin) rows.push_back(i - begin);
  return rows;
}

}  // namespace

TextContrast text_contrast_loss(const Tensor& texts, const Tensor& text_id,
                                const Tensor& logit_scale, double threshold,
                                const ContrastiveOptions& options) {
  TORCH_CHECK(text_id.dim() == 1 && text_id.size(0) == texts.size(0),
              "text contrast: one text_id a text expected");
  const auto all_ids = options.group->gather(text_id.to(torch::kCPU));
  const auto rows =
      torch::tensor(first_of_their_text(all_ids.rows, all_ids.first, all_ids.first + texts.size(0)),
                    torch::kInt64);
  const auto own = texts.index_select(0, ops::to_device(rows, texts.device()));  // [u, E]
  const auto distinct = std::get<0>(at::_unique(all_ids.rows)).size(0);
  TextContrast result;
  result.pairs = static_cast<double>(own.size(0) * (distinct - 1));
  Tensor left_out;
  // Above 1 there is only rounding.
  const double above = threshold < 1 ? threshold : -kNone;
  result.loss = TextRepulsion::apply(own, logit_scale.detach(), above, options, &left_out);
  result.left_out_share = result.pairs > 0 ? left_out / result.pairs : torch::zeros_like(left_out);
  return result;
}

}  // namespace opencloc
