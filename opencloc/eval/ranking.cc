#include "opencloc/eval/ranking.h"

#include <algorithm>
#include <limits>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

constexpr int64_t kMaxStrip = int64_t{1} << 22;  // scores alive at a time (16 MiB of floats)

// scores [r, C], right [r, C] bool -> [r] int64.
torch::Tensor strip_ranks(const torch::Tensor& scores, const torch::Tensor& right,
                          const torch::Tensor& weight) {
  const auto lowest = -std::numeric_limits<float>::infinity();
  const auto [best, best_index] = scores.masked_fill(~right, lowest).max(1, /*keepdim=*/true);
  const auto number = torch::arange(scores.size(1), scores.options().dtype(torch::kInt32));
  const auto before = (scores > best) | ((scores == best) & (number < best_index));  // [r, C]
  const auto wrong_before = before & ~right;
  if (!weight.defined()) return wrong_before.sum(1);
  return torch::where(wrong_before, weight, torch::zeros_like(weight)).sum(1);
}

}  // namespace

torch::Tensor best_ranks(const Ranking& ranking, int64_t chunk) {
  const int64_t queries = ranking.queries.size(0);
  const int64_t candidates = ranking.candidates.size(0);
  auto ranks = torch::zeros({queries}, torch::kInt64);
  if (queries == 0 || candidates == 0) return ranks;
  const torch::NoGradGuard no_grad;
  const auto device = ranking.queries.device();
  const auto transposed = ranking.candidates.to(device).t();  // [E, C]
  const auto query_group = ranking.query_group.to(device);
  const auto candidate_group = ranking.candidate_group.to(device);
  auto weight = ranking.candidate_weight;
  if (weight.defined()) weight = weight.to(device);

  const int64_t rows = std::clamp<int64_t>(kMaxStrip / candidates, 1, std::max<int64_t>(chunk, 1));
  for (int64_t begin = 0; begin < queries; begin += rows) {
    const int64_t end = std::min(begin + rows, queries);
    const auto scores = torch::matmul(ranking.queries.slice(0, begin, end), transposed);  // [r, C]
    if (!torch::isfinite(scores).all().item<bool>()) {
      throw Error::failed("the model gives embeddings that are not finite numbers", {},
                          "evaluate an earlier checkpoint");
    }
    const auto right = query_group.slice(0, begin, end).unsqueeze(1) == candidate_group;  // [r, C]
    ranks.slice(0, begin, end).copy_(strip_ranks(scores, right, weight));
  }
  return ranks;
}

}  // namespace opencloc
