#include <algorithm>
#include <limits>

#include <torch/autograd.h>

#include "opencloc/loss/info_nce.h"
#include "opencloc/loss/loss.h"
#include "opencloc/loss/pair_filter.h"
#include "opencloc/ops/precision.h"
#include "opencloc/ops/product.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr double kNoCap = std::numeric_limits<double>::infinity();

// Rows [begin, end) of the logits -> [end - begin, n].
Tensor logits(const Tensor& image, const Tensor& text, const Tensor& scale, const Tensor& bias,
              int64_t begin, int64_t end) {
  return ops::product_nt(image.slice(0, begin, end), text).mul_(scale).add_(bias);
}

// Memory O(chunk x n), as InfoNCE: the backward pass makes the logits again. No pair's gradient
// needs a sum over others, so that processes exchange their rows and nothing else.
struct SigmoidLoss : torch::autograd::Function<SigmoidLoss> {
  static Tensor forward(AutogradContext* context, const Tensor& own_image, const Tensor& own_text,
                        const Tensor& logit_scale, const Tensor& logit_bias,
                        const PairFilter& filter, const ContrastiveOptions& options) {
    const auto gathered = options.group->gather(own_image);
    const Tensor &image = gathered.rows, text = options.group->gather(own_text).rows;  // [n, E]
    const int64_t n = image.size(0), first = gathered.first, last = first + own_image.size(0);
    const auto scale = exp_at_most(logit_scale, kNoCap), bias = logit_bias.detach().squeeze();
    auto total = torch::zeros({}, image.options());
    for (int64_t begin = first; begin < last; begin += options.chunk) {
      const int64_t end = std::min(begin + options.chunk, last);
      const auto s = logits(image, text, scale, bias, begin, end);  // [chunk, n]
      // -log sigmoid(-s) = softplus(s), and -log sigmoid(s) = softplus(s) - s.
      auto costs = torch::softplus(s);
      leave_out(filter, begin, end, costs);
      total += costs.sum() - s.diagonal(begin).sum();
    }
    context->save_for_backward({image, text, logit_scale, logit_bias, filter.text_id});
    context->saved_data["chunk"] = options.chunk;
    context->saved_data["begin"] = first;
    context->saved_data["end"] = last;
    context->saved_data["backend"] = static_cast<int64_t>(backend_now());
    return total / static_cast<double>(std::max<int64_t>(n, 1));
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& upstream) {
    const auto saved = context->get_saved_variables();
    const Tensor &image = saved[0], &text = saved[1];
    const BackendScope as_forward(static_cast<Backend>(context->saved_data["backend"].toInt()));
    const auto scale = exp_at_most(saved[2], kNoCap), bias = saved[3].detach().squeeze();
    const int64_t n = image.size(0), chunk = context->saved_data["chunk"].toInt();
    const int64_t first = context->saved_data["begin"].toInt();
    const int64_t last = context->saved_data["end"].toInt();
    const bool all = first == 0 && last == n;
    const PairFilter filter{.text_id = saved[4], .texts = {}};
    const auto weight = upstream[0] / static_cast<double>(std::max<int64_t>(n, 1));
    // The gradient of the logits of rows [begin, end) of one side with all of the other.
    const auto of_logits = [&](const Tensor& rows, const Tensor& columns, int64_t begin,
                               int64_t end) {
      auto g = logits(rows, columns, scale, bias, begin, end).sigmoid_();  // [chunk, n]
      g.diagonal(begin) -= 1;
      leave_out(filter, begin, end, g);
      return g.mul_(weight);
    };
    auto of_image = torch::zeros_like(image.slice(0, first, last));
    auto of_text = torch::zeros_like(text.slice(0, first, last));
    auto of_scale = torch::zeros_like(saved[2]), of_bias = torch::zeros_like(saved[3]);
    for (int64_t begin = first; begin < last; begin += chunk) {
      const int64_t end = std::min(begin + chunk, last);
      const auto g = of_logits(image, text, begin, end);
      const auto rows = image.slice(0, begin, end);
      const auto row_gradient = ops::product(g, text) * scale;  // [chunk, E]
      of_image.slice(0, begin - first, end - first) += row_gradient;
      of_scale += (row_gradient * rows).sum();
      of_bias += g.sum();
      if (all) {
        of_text += ops::product_tn(g, rows) * scale;  // [n, E]
      } else {
        const auto back = of_logits(text, image, begin, end);
        of_text.slice(0, begin - first, end - first) += ops::product(back, image) * scale;
      }
    }
    return {of_image, of_text, of_scale, of_bias, Tensor(), Tensor()};
  }

 private:
  // Pairs of equal texts say nothing.
  static void leave_out(const PairFilter& filter, int64_t begin, int64_t end, Tensor& of_pairs) {
    const auto excluded = filter.excluded(begin, end).pairs;
    if (excluded.defined()) of_pairs.masked_fill_(excluded, 0);
  }
};

}  // namespace

Tensor sigmoid_loss(const Tensor& image, const Tensor& text, const Tensor& logit_scale,
                    const Tensor& logit_bias, const ContrastiveOptions& options) {
  TORCH_CHECK(image.dim() == 2 && image.sizes() == text.sizes(),
              "sigmoid loss: [n, E] pairs expected");
  TORCH_CHECK(logit_scale.numel() == 1 && logit_bias.numel() == 1,
              "sigmoid loss: logit_scale and logit_bias must be scalars");
  TORCH_CHECK(options.chunk >= 1, "sigmoid loss: chunk must be at least 1");
  PairFilter filter;
  if (options.text_id.defined()) {
    TORCH_CHECK(options.text_id.dim() == 1 && options.text_id.size(0) == image.size(0),
                "sigmoid loss: one text_id a pair expected");
    filter.text_id = ops::to_device(options.group->gather(options.text_id).rows, image.device());
  }
  return SigmoidLoss::apply(image, text, logit_scale, logit_bias, filter, options);
}

}  // namespace opencloc
