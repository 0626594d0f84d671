#include <algorithm>

#include <torch/autograd.h>

#include "opencloc/loss/loss.h"
#include "opencloc/ops/product.h"

namespace opencloc {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct CaptionLoss : torch::autograd::Function<CaptionLoss> {
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& projection,
                        const Tensor& labels, int64_t chunk) {
    const int64_t n = hidden.size(0);
    auto log_sum_exp = torch::empty({n}, hidden.options());  // [n]
    auto total = torch::zeros({}, hidden.options());
    for (int64_t begin = 0; begin < n; begin += chunk) {
      const int64_t end = std::min(begin + chunk, n);
      const auto logits = ops::product(hidden.slice(0, begin, end), projection);  // [chunk, V]
      const auto strip = torch::logsumexp(logits, 1);                             // [chunk]
      log_sum_exp.slice(0, begin, end).copy_(strip);
      total +=
          (strip - logits.gather(1, labels.slice(0, begin, end).unsqueeze(1)).squeeze(1)).sum();
    }
    context->save_for_backward({hidden, projection, labels, log_sum_exp});
    context->saved_data["chunk"] = chunk;
    return total / static_cast<double>(std::max<int64_t>(n, 1));
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& upstream) {
    const auto saved = context->get_saved_variables();
    const Tensor &hidden = saved[0], &projection = saved[1], &labels = saved[2];
    const int64_t n = hidden.size(0), chunk = context->saved_data["chunk"].toInt();
    const auto weight = upstream[0] / static_cast<double>(std::max<int64_t>(n, 1));
    auto by_hidden = torch::empty_like(hidden), by_projection = torch::zeros_like(projection);
    for (int64_t begin = 0; begin < n; begin += chunk) {
      const int64_t end = std::min(begin + chunk, n);
      const auto rows = hidden.slice(0, begin, end);
      auto g = ops::product(rows, projection);  // [chunk, V]
      g = (g - saved[3].slice(0, begin, end).unsqueeze(1)).exp_();
      const auto label = labels.slice(0, begin, end).unsqueeze(1);
      g.scatter_add_(1, label, torch::full_like(label, -1, g.options()));
      g *= weight;
      by_hidden.slice(0, begin, end).copy_(ops::product_nt(g, projection));
      by_projection += ops::product_tn(rows, g);
    }
    return {by_hidden, by_projection, {}, {}};
  }
};

}  // namespace

Tensor caption_loss(const Tensor& hidden, const Tensor& projection, const Tensor& labels,
                    int64_t chunk) {
  TORCH_CHECK(hidden.dim() == 2 && projection.dim() == 2 && hidden.size(1) == projection.size(0) &&
                  labels.dim() == 1 && labels.size(0) == hidden.size(0) && chunk >= 1,
              "caption_loss: hidden ", hidden.sizes(), ", projection ", projection.sizes(),
              ", labels ", labels.sizes(), " do not fit together");
  return CaptionLoss::apply(hidden, projection, labels, chunk);
}

}  // namespace opencloc
