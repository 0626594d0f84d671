#include "opencloc/eval/ranking.h"

#include <algorithm>
#include <cmath>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/kernels/parallel.h"
#include "opencloc/ops/product.h"

namespace opencloc {
namespace {

constexpr int64_t kMaxStrip = int64_t{1} << 22;  // scores alive at a time (16 MiB)

struct Candidates {
  int64_t count;
  const int64_t* group;
  const int64_t* weight;  // null: 1 each
};

// One query's rank from its scores [C]; -1 when one is not finite.
int64_t rank_of(const float* scores, int64_t group, const Candidates& candidates) {
  float sum = 0;  // of zeros and NaNs
  int64_t best = -1;
  for (int64_t j = 0; j < candidates.count; ++j) {
    sum += 0 * scores[j];
    if (candidates.group[j] == group && (best < 0 || scores[j] > scores[best])) best = j;
  }
  if (!std::isfinite(sum)) return -1;

  const float bar = best < 0 ? 0 : scores[best];
  int64_t before = 0;
  for (int64_t j = 0; j < candidates.count; ++j) {
    const bool ahead = best < 0 || scores[j] > bar || (scores[j] == bar && j < best);
    const bool wrong = candidates.group[j] != group;
    const int64_t weight = candidates.weight == nullptr ? 1 : candidates.weight[j];
    before += ahead && wrong ? weight : 0;
  }
  return before;
}

torch::Tensor plain(const torch::Tensor& tensor, torch::Dtype type) {
  return tensor.defined() ? tensor.to(torch::kCPU, type).contiguous() : tensor;
}

}  // namespace

torch::Tensor best_ranks(const Ranking& ranking, int64_t chunk, dist::Group& group) {
  const torch::NoGradGuard no_grad;
  const auto queries = plain(ranking.queries, torch::kFloat);
  const auto transposed = plain(ranking.candidates, torch::kFloat).t();  // [E, C]
  const auto query_group = plain(ranking.query_group, torch::kInt64);
  const auto candidate_group = plain(ranking.candidate_group, torch::kInt64);
  const auto weight = plain(ranking.candidate_weight, torch::kInt64);
  auto ranks = torch::zeros({queries.size(0)}, torch::kInt64);
  if (queries.size(0) == 0 || transposed.size(1) == 0) return ranks;

  const Candidates candidates{transposed.size(1), candidate_group.data_ptr<int64_t>(),
                              weight.defined() ? weight.data_ptr<int64_t>() : nullptr};
  const int64_t rows =
      std::clamp<int64_t>(kMaxStrip / candidates.count, 1, std::max<int64_t>(chunk, 1));
  const auto own = dist::share_of((queries.size(0) + rows - 1) / rows, group);  // of the strips
  const int64_t first = std::min(own.begin * rows, queries.size(0)),
                last = std::min(own.end * rows, queries.size(0));
  for (int64_t begin = first; begin < last; begin += rows) {
    const int64_t end = std::min(begin + rows, last);
    const auto scores = ops::product(queries.slice(0, begin, end), transposed);  // [r, C]
    const float* score = scores.data_ptr<float>();
    const int64_t* right = query_group.data_ptr<int64_t>() + begin;
    int64_t* rank = ranks.data_ptr<int64_t>() + begin;
    kernels::parallel_items(end - begin, [&](int64_t i) {
      rank[i] = rank_of(score + i * candidates.count, right[i], candidates);
    });
  }
  ranks = group.gather(ranks.slice(0, first, last)).rows;
  if (ranks.min().item<int64_t>() < 0) {
    throw Error::failed("the model gives embeddings that are not finite numbers", {},
                        "evaluate an earlier checkpoint");
  }
  return ranks;
}

}  // namespace opencloc
