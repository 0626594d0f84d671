#include <algorithm>
#include <limits>
#include <vector>

#include <torch/autograd.h>
#include <torch/utils.h>

#include "opencloc/loss/loss.h"
#include "opencloc/ops/precision.h"
#include "opencloc/ops/product.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr int64_t kSimilaritiesOfAStrip = int64_t{1} << 23;
constexpr double kLeastNorm = 1e-12;

// The pictures with an entity, n of them.
struct LabelledPictures {
  Tensor positive;                 // [n] where the rows lie
  Tensor other_row, other_column;  // [m] there: true as well, so no negatives; rows ascending
  Tensor other_begin;              // [n + 1] in main memory: where each one's begin
};

struct EntitySoftmax : torch::autograd::Function<EntitySoftmax> {
  static Tensor forward(AutogradContext* context, const Tensor& image, const Tensor& classes,
                        const LabelledPictures& labels, const EntityLossOptions& options,
                        Tensor* right) {
    const int64_t n = image.size(0);
    const auto norm = classes.norm(2, 1, /*keepdim=*/true).clamp_min(kLeastNorm);  // [S, 1]
    const auto unit = classes / norm;                                              // [S, E]
    auto log_sum_exp = torch::empty({n}, image.options());
    auto total = torch::zeros({}, image.options());
    *right = torch::zeros({}, image.options().dtype(torch::kDouble));
    for (int64_t begin = 0; begin < n; begin += options.chunk) {
      const int64_t end = std::min(begin + options.chunk, n);
      const auto own = labels.positive.slice(0, begin, end);  // [chunk]
      auto z = cosines(image, unit, labels, begin, end);      // [chunk, S]
      *right += z.argmax(1).eq(own).sum();
      to_logits(z, own, options.margin, options.scale);
      const auto strip = torch::logsumexp(z, 1);
      log_sum_exp.slice(0, begin, end).copy_(strip);
      total += (strip - z.gather(1, own.unsqueeze(1)).squeeze(1)).sum();
    }
    context->save_for_backward({image, unit, norm, log_sum_exp, labels.positive, labels.other_row,
                                labels.other_column, labels.other_begin});
    context->saved_data["margin"] = options.margin;
    context->saved_data["scale"] = options.scale;
    context->saved_data["chunk"] = options.chunk;
    context->saved_data["backend"] = static_cast<int64_t>(backend_now());
    return total / static_cast<double>(std::max<int64_t>(n, 1));
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& upstream) {
    const BackendScope as_forward(static_cast<Backend>(context->saved_data["backend"].toInt()));
    const auto saved = context->get_saved_variables();
    const Tensor &image = saved[0], &unit = saved[1], &norm = saved[2];
    const LabelledPictures labels{saved[4], saved[5], saved[6], saved[7]};
    const double margin = context->saved_data["margin"].toDouble();
    const double scale = context->saved_data["scale"].toDouble();
    const int64_t n = image.size(0), chunk = context->saved_data["chunk"].toInt();
    const auto weight = upstream[0] * (scale / static_cast<double>(std::max<int64_t>(n, 1)));
    auto by_image = torch::empty_like(image), by_unit = torch::zeros_like(unit);
    for (int64_t begin = 0; begin < n; begin += chunk) {
      const int64_t end = std::min(begin + chunk, n);
      const auto own = labels.positive.slice(0, begin, end).unsqueeze(1);  // [chunk, 1]
      auto g = cosines(image, unit, labels, begin, end);                   // [chunk, S]
      to_logits(g, own.squeeze(1), margin, scale);
      g.sub_(saved[3].slice(0, begin, end).unsqueeze(1)).exp_();
      g.scatter_add_(1, own, torch::full_like(own, -1, g.options()));
      g *= weight;
      by_image.slice(0, begin, end).copy_(ops::product(g, unit));
      by_unit += ops::product_tn(g, image.slice(0, begin, end));  // [S, E]
    }
    const auto along = (by_unit * unit).sum(1, /*keepdim=*/true);
    return {by_image, (by_unit - unit * along) / norm, {}, {}, {}};
  }

 private:
  // Of rows [begin, end) with all classes; what else is true is out of the question.
  static Tensor cosines(const Tensor& image, const Tensor& unit, const LabelledPictures& labels,
                        int64_t begin, int64_t end) {
    auto cosine = ops::product_nt(image.slice(0, begin, end), unit);
    const auto* first = labels.other_begin.data_ptr<int64_t>();
    if (first[begin] == first[end]) return cosine;
    const auto of_strip = [&](const Tensor& t) { return t.slice(0, first[begin], first[end]); };
    cosine.index_put_({of_strip(labels.other_row) - begin, of_strip(labels.other_column)},
                      torch::full({}, -std::numeric_limits<double>::infinity(), cosine.options()));
    return cosine;
  }
  static void to_logits(Tensor& cosine, const Tensor& own, double margin, double scale) {
    const auto at = own.unsqueeze(1);
    cosine.scatter_add_(1, at, torch::full_like(at, -margin, cosine.options()));
    cosine *= scale;
  }
};

// `pictures` [n]: those with an entity.
LabelledPictures labelled(const EntityTargets& targets, const Tensor& pictures,
                          torch::Device device) {
  const auto all_begin = targets.other_begin.contiguous(), rows = pictures.contiguous();
  const auto* first = all_begin.data_ptr<int64_t>();
  const auto* columns = targets.other.data_ptr<int64_t>();
  std::vector<int64_t> other_row, other_column, begin{0};
  for (int64_t i = 0; i < rows.numel(); ++i) {
    const int64_t picture = rows.data_ptr<int64_t>()[i];
    for (int64_t at = first[picture]; at < first[picture + 1]; ++at) {
      other_row.push_back(i);
      other_column.push_back(columns[at]);
    }
    begin.push_back(static_cast<int64_t>(other_row.size()));
  }
  const auto int64s = [](const std::vector<int64_t>& v) { return torch::tensor(v, torch::kInt64); };
  return {ops::to_device(targets.positive.index_select(0, rows), device),
          ops::to_device(int64s(other_row), device), ops::to_device(int64s(other_column), device),
          int64s(begin)};
}

}  // namespace

EntityLoss entity_loss(const Tensor& image, const Tensor& classes, const EntityTargets& targets,
                       const EntityLossOptions& options) {
  TORCH_CHECK(image.dim() == 2 && classes.dim() == 2 && image.size(1) == classes.size(1) &&
                  targets.positive.dim() == 1 && targets.positive.size(0) == image.size(0) &&
                  targets.other_begin.numel() == image.size(0) + 1 && options.chunk >= 0,
              "entity_loss: image ", image.sizes(), ", classes ", classes.sizes(), ", positive ",
              targets.positive.sizes(), " do not fit together");
  EntityLossOptions of = options;
  if (of.chunk == 0)
    of.chunk = std::max<int64_t>(1, kSimilaritiesOfAStrip / std::max<int64_t>(1, classes.size(0)));
  const auto pictures = targets.positive.ge(0).nonzero().squeeze(1);  // [n]
  EntityLoss result;
  result.pictures = pictures.size(0);
  Tensor right;
  const auto rows = image.index_select(0, ops::to_device(pictures, image.device()));  // [n, E]
  result.loss =
      EntitySoftmax::apply(rows, classes, labelled(targets, pictures, image.device()), of, &right);
  result.accuracy = right / static_cast<double>(std::max<int64_t>(1, result.pictures));
  return result;
}

}  // namespace opencloc
