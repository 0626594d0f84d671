#include <algorithm>
#include <cmath>

#include <torch/autograd.h>

#include "opencloc/loss/info_nce.h"
#include "opencloc/loss/loss.h"
#include "opencloc/ops/product.h"

namespace opencloc {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Rows [begin, end) of the logits -> [end - begin, n].
Tensor logits(const Tensor& image, const Tensor& text, double scale, double bias, int64_t begin,
              int64_t end) {
  return ops::product_nt(image.slice(0, begin, end), text).mul_(scale).add_(bias);
}

// Memory O(chunk x n), as InfoNCE: the backward pass makes the logits again.
struct SigmoidLoss : torch::autograd::Function<SigmoidLoss> {
  static Tensor forward(AutogradContext* context, const Tensor& image, const Tensor& text,
                        const Tensor& logit_scale, const Tensor& logit_bias,
                        const ContrastiveOptions& options) {
    const int64_t n = image.size(0);
    const auto rows = local_rows(options, n);
    const double scale = std::exp(logit_scale.item<double>()), bias = logit_bias.item<double>();
    auto total = torch::zeros({}, image.options());
    for (int64_t begin = rows.begin; begin < rows.end; begin += options.chunk) {
      const int64_t end = std::min(begin + options.chunk, rows.end);
      const auto s = logits(image, text, scale, bias, begin, end);  // [chunk, n]
      // -log sigmoid(-s) = softplus(s), and -log sigmoid(s) = softplus(s) - s.
      total += torch::softplus(s).sum() - s.diagonal(begin).sum();
    }
    context->save_for_backward({image, text, logit_scale, logit_bias});
    context->saved_data["chunk"] = options.chunk;
    context->saved_data["begin"] = rows.begin;
    context->saved_data["end"] = rows.end;
    return total / static_cast<double>(std::max<int64_t>(n, 1));
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& upstream) {
    const auto saved = context->get_saved_variables();
    const Tensor &image = saved[0], &text = saved[1];
    const double scale = std::exp(saved[2].item<double>()), bias = saved[3].item<double>();
    const int64_t n = image.size(0), chunk = context->saved_data["chunk"].toInt();
    const int64_t last = context->saved_data["end"].toInt();
    const auto weight = upstream[0] / static_cast<double>(std::max<int64_t>(n, 1));
    auto image_gradient = torch::zeros_like(image), text_gradient = torch::zeros_like(text);
    auto scale_gradient = torch::zeros_like(saved[2]), bias_gradient = torch::zeros_like(saved[3]);
    for (int64_t begin = context->saved_data["begin"].toInt(); begin < last; begin += chunk) {
      const int64_t end = std::min(begin + chunk, last);
      auto g = logits(image, text, scale, bias, begin, end).sigmoid_();  // [chunk, n]
      g.diagonal(begin) -= 1;
      g *= weight;  // of the logits
      const auto rows = image.slice(0, begin, end);
      const auto row_gradient = ops::product(g, text) * scale;  // [chunk, E]
      image_gradient.slice(0, begin, end) += row_gradient;
      text_gradient += ops::product_tn(g, rows) * scale;  // [n, E]
      scale_gradient += (row_gradient * rows).sum();
      bias_gradient += g.sum();
    }
    return {image_gradient, text_gradient, scale_gradient, bias_gradient, Tensor()};
  }
};

}  // namespace

Tensor sigmoid_loss(const Tensor& image, const Tensor& text, const Tensor& logit_scale,
                    const Tensor& logit_bias, const ContrastiveOptions& options) {
  TORCH_CHECK(image.dim() == 2 && image.sizes() == text.sizes(),
              "sigmoid loss: [n, E] pairs expected");
  TORCH_CHECK(logit_scale.numel() == 1 && logit_bias.numel() == 1,
              "sigmoid loss: logit_scale and logit_bias must be scalars");
  return SigmoidLoss::apply(image, text, logit_scale, logit_bias, options);
}

}  // namespace opencloc
