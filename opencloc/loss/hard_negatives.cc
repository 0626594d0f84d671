#include <limits>
#include <vector>

#include <torch/utils.h>

#include "opencloc/loss/loss.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

// Of the H negatives: the regions that have some, the place of each negative's region among these,
// and its place among the region's own negatives.
struct NegativePlaces {
  std::vector<int64_t> regions, row, column;
  int64_t most = 0;  // negatives of a region
};
NegativePlaces places_of(const torch::Tensor& negative_region) {
  NegativePlaces places;
  const auto region = negative_region.to(torch::kCPU).contiguous();
  const auto* of = region.data_ptr<int64_t>();
  for (int64_t i = 0; i < region.numel(); ++i) {
    const bool first = i == 0 || of[i] != of[i - 1];
    if (first) places.regions.push_back(of[i]);
    places.row.push_back(static_cast<int64_t>(places.regions.size()) - 1);
    places.column.push_back(first ? 0 : places.column.back() + 1);
    places.most = std::max(places.most, places.column.back() + 1);
  }
  return places;
}

}  // namespace

HardNegativeLoss hard_negative_loss(const torch::Tensor& regions, const torch::Tensor& texts,
                                    const torch::Tensor& negatives,
                                    const torch::Tensor& negative_region,
                                    const torch::Tensor& logit_scale) {
  TORCH_CHECK(negatives.size(0) == negative_region.size(0),
              "hard negatives: one region a negative expected");
  HardNegativeLoss result;
  if (negatives.size(0) == 0) {
    result.loss = regions.sum() * 0;
    result.accuracy = torch::zeros({}, torch::kDouble);
    return result;
  }
  const auto places = places_of(negative_region);
  const auto device = regions.device();
  const auto index = [&](const std::vector<int64_t>& rows) {
    return ops::to_device(torch::tensor(rows, torch::kInt64), device);
  };
  const auto scale = logit_scale.exp();
  const auto of_regions = index(places.regions), row = index(places.row);   // [G], [H]
  const auto z = regions.index_select(0, of_regions);                       // [G, E]
  const auto own = scale * (z * texts.index_select(0, of_regions)).sum(1);  // [G]
  const auto wrong = scale * (z.index_select(0, row) * negatives).sum(1);   // [H]
  const auto none = -std::numeric_limits<double>::infinity();
  const auto of_negatives =
      torch::full({z.size(0), places.most}, none, own.options().requires_grad(false))
          .index_put({row, index(places.column)}, wrong);               // [G, K]
  const auto logits = torch::cat({own.unsqueeze(1), of_negatives}, 1);  // [G, 1 + K]
  result.regions = z.size(0);
  result.loss = (logits.logsumexp(1) - own).mean();
  result.accuracy = own.detach().gt(of_negatives.detach().amax(1)).to(torch::kDouble).mean();
  return result;
}

torch::Tensor over_mean(const torch::Tensor& weight, dist::Group& group) {
  auto sums = torch::stack(
      {weight.sum().to(torch::kDouble), torch::full({}, static_cast<double>(weight.numel()),
                                                    weight.options().dtype(torch::kDouble))});
  group.sum(sums);
  return weight * (sums[1] / sums[0].clamp_min(1e-12)).to(weight.scalar_type());
}

}  // namespace opencloc
