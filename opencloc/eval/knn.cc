#include "opencloc/eval/knn.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <spdlog/fmt/fmt.h>
#include <torch/utils.h>

#include "opencloc/eval/score_rows.h"

namespace opencloc {
namespace {

constexpr size_t kVotes = kNeighbourCounts.size() * kVoteTemperatures.size();

// Rows of the `most` highest scores, best first, without row `self`.
std::vector<int64_t> nearest_rows(const float* scores, int64_t count, int64_t most, int64_t self) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  if (self >= 0) rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(self));
  const auto nearer = [scores](int64_t a, int64_t b) {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
  };
  const size_t kept = std::min(rows.size(), static_cast<size_t>(most));
  const auto end = rows.begin() + static_cast<std::ptrdiff_t>(kept);
  if (kept < rows.size()) std::nth_element(rows.begin(), end, rows.end(), nearer);
  rows.resize(kept);
  std::sort(rows.begin(), rows.end(), nearer);
  return rows;
}

// The class with the most votes of the first k rows.
int64_t elected(const std::vector<int64_t>& rows, int64_t k, double temperature,
                const float* scores, const int64_t* classes) {
  const size_t voters = std::min(rows.size(), static_cast<size_t>(k));
  if (voters == 0) return -1;
  const float best = scores[rows.front()];  // weights in proportion: none overflows
  std::vector<std::pair<int64_t, double>> votes;
  for (size_t i = 0; i < voters; ++i) {
    votes.emplace_back(classes[rows[i]], std::exp((scores[rows[i]] - best) / temperature));
  }
  std::stable_sort(votes.begin(), votes.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  int64_t winner = -1;
  double most = -1;
  for (size_t i = 0; i < votes.size();) {
    const int64_t candidate = votes[i].first;
    double sum = 0;
    for (; i < votes.size() && votes[i].first == candidate; ++i) sum += votes[i].second;
    if (sum > most) {
      most = sum;
      winner = candidate;
    }
  }
  return winner;
}

}  // namespace

torch::Tensor neighbour_votes(const NeighbourVote& vote, int64_t chunk, dist::Group& group) {
  const torch::NoGradGuard no_grad;
  require_finite(vote.queries);
  require_finite(vote.known);
  const auto classes = vote.known_classes.to(torch::kCPU, torch::kInt64).contiguous();
  const auto* class_of = classes.data_ptr<int64_t>();
  const auto answers =
      torch::full({vote.queries.size(0), static_cast<int64_t>(kVotes)}, -1, torch::kInt64);
  auto* out = answers.data_ptr<int64_t>();
  const auto own =
      visit_scores({vote.queries, vote.known, chunk}, group, [&](int64_t i, const float* scores) {
        const auto rows = nearest_rows(scores, classes.numel(), kNeighbourCounts.back(),
                                       vote.queries_are_known ? i : -1);
        auto* answer = out + i * static_cast<int64_t>(kVotes);
        for (const int64_t k : kNeighbourCounts) {
          for (const double temperature : kVoteTemperatures) {
            *answer++ = elected(rows, k, temperature, scores, class_of);
          }
        }
      });
  return group.gather(answers.slice(0, own.begin, own.end)).rows;
}

Json vote_figures(const torch::Tensor& votes, const torch::Tensor& targets) {
  Json figures;
  int64_t column = 0;
  const auto n = static_cast<double>(std::max<int64_t>(targets.numel(), 1));
  for (const int64_t k : kNeighbourCounts) {
    for (const double temperature : kVoteTemperatures) {
      const auto hits = (votes.select(1, column++) == targets).sum().item<int64_t>();
      figures[fmt::format("acc1_k{}_t{}", k, temperature)] = static_cast<double>(hits) / n;
    }
  }
  figures["n"] = targets.numel();
  return figures;
}

}  // namespace opencloc
