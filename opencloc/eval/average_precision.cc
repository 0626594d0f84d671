#include "opencloc/eval/average_precision.h"

#include <algorithm>
#include <vector>

#include <torch/utils.h>

#include "opencloc/eval/score_rows.h"

namespace opencloc {
namespace {

struct QueryPrecision {
  double with_self = 1;
  double without_self = -1;
};

struct RightOne {
  float score;
  int64_t row;
};

// Whether a candidate stands before another one.
bool stands_before(float score, int64_t row, const RightOne& other) {
  return score > other.score || (score == other.score && row < other.row);
}

// One query's. `rights`: the rows of its class, itself among them.
QueryPrecision query_precision(int64_t query, const float* scores, const int64_t* classes,
                               int64_t count, const std::vector<int64_t>& rights) {
  std::vector<RightOne> right;  // best first
  for (const int64_t row : rights) {
    if (row != query) right.push_back({scores[row], row});
  }
  if (right.empty()) return {};
  std::sort(right.begin(), right.end(),
            [](const RightOne& a, const RightOne& b) { return stands_before(a.score, a.row, b); });
  // wrong[m]: the wrong candidates between the right ones m - 1 and m.
  std::vector<int64_t> wrong(right.size());
  const float lowest = right.back().score;
  for (int64_t j = 0; j < count; ++j) {
    if (scores[j] < lowest || classes[j] == classes[query]) continue;
    const auto behind = std::partition_point(right.begin(), right.end(), [&](const RightOne& one) {
      return !stands_before(scores[j], j, one);
    });
    if (behind != right.end()) ++wrong[static_cast<size_t>(behind - right.begin())];
  }
  double with_self = 1, without_self = 0;
  double place = 0;  // among the others, from 1
  for (size_t m = 0; m < right.size(); ++m) {
    place += 1 + static_cast<double>(wrong[m]);
    const auto hits = static_cast<double>(m + 1);
    without_self += hits / place;
    with_self += (hits + 1) / (place + 1);
  }
  const auto all = static_cast<double>(right.size());
  return {with_self / (all + 1), without_self / all};
}

std::vector<std::vector<int64_t>> rows_by_class(const torch::Tensor& classes) {
  std::vector<std::vector<int64_t>> rows;
  const auto* of = classes.data_ptr<int64_t>();
  for (int64_t i = 0; i < classes.numel(); ++i) {
    if (static_cast<size_t>(of[i]) >= rows.size()) rows.resize(static_cast<size_t>(of[i]) + 1);
    rows[static_cast<size_t>(of[i])].push_back(i);
  }
  return rows;
}

}  // namespace

torch::Tensor average_precisions(const InstanceRanking& ranking, int64_t chunk,
                                 dist::Group& group) {
  const torch::NoGradGuard no_grad;
  require_finite(ranking.embeddings);
  const auto classes = ranking.classes.to(torch::kCPU, torch::kInt64).contiguous();
  const auto rights = rows_by_class(classes);
  const int64_t count = classes.numel();
  const auto* class_of = classes.data_ptr<int64_t>();
  const auto found = torch::zeros({count, 2}, torch::kDouble);
  auto* out = found.data_ptr<double>();
  const auto own = visit_scores(
      {ranking.embeddings, ranking.embeddings, chunk}, group, [&](int64_t i, const float* scores) {
        const auto precision =
            query_precision(i, scores, class_of, count, rights[static_cast<size_t>(class_of[i])]);
        out[2 * i] = precision.with_self;
        out[2 * i + 1] = precision.without_self;
      });
  return group.gather(found.slice(0, own.begin, own.end)).rows;
}

// Place k of a random order is right with probability r / n, and then (k - 1) (r - 1) / (n - 1) of
// those before it are.
double chance_without_self(int64_t relevant, int64_t others) {
  const auto r = static_cast<double>(relevant), n = static_cast<double>(others);
  const double rest = others > 1 ? (r - 1) / (n - 1) : 0;
  double sum = 0;
  for (int64_t k = 1; k <= others; ++k) {
    const auto place = static_cast<double>(k);
    sum += (1 + (place - 1) * rest) / place;
  }
  return sum / n;
}

double chance_with_self(int64_t relevant, int64_t others) {
  const auto r = static_cast<double>(relevant), n = static_cast<double>(others);
  const double rest = others > 1 ? (r - 1) / (n - 1) : 0;
  double sum = 0;
  for (int64_t k = 1; k <= others; ++k) {
    const auto place = static_cast<double>(k);
    sum += (2 + (place - 1) * rest) / (place + 1);
  }
  return (1 + (relevant > 0 ? r / n * sum : 0)) / (r + 1);
}

Json instance_figures(const InstanceRanking& ranking, const torch::Tensor& precisions,
                      const torch::Tensor& rows) {
  const auto classes = ranking.classes.to(torch::kCPU, torch::kInt64).contiguous();
  const auto members = classes.bincount();  // [C]
  const int64_t others = classes.numel() - 1;
  // The chance of a class hangs on how many it has.
  std::vector<double> with(static_cast<size_t>(members.max().item<int64_t>()) + 1, -1),
      without = with;
  double sums[4] = {};
  int64_t paired = 0;
  const auto numbers = rows.to(torch::kCPU, torch::kInt64).contiguous();
  const auto* row = numbers.data_ptr<int64_t>();
  const auto* of = classes.data_ptr<int64_t>();
  const auto* size = members.data_ptr<int64_t>();
  const auto* precision = precisions.data_ptr<double>();
  for (int64_t i = 0; i < numbers.numel(); ++i) {
    const int64_t relevant = size[of[row[i]]] - 1;
    auto& by_chance = with[static_cast<size_t>(relevant)];
    if (by_chance < 0) by_chance = chance_with_self(relevant, others);
    sums[0] += precision[2 * row[i]];
    sums[1] += by_chance;
    if (relevant == 0) continue;
    auto& by_chance_alone = without[static_cast<size_t>(relevant)];
    if (by_chance_alone < 0) by_chance_alone = chance_without_self(relevant, others);
    sums[2] += precision[2 * row[i] + 1];
    sums[3] += by_chance_alone;
    ++paired;
  }
  const auto n = static_cast<double>(std::max<int64_t>(numbers.numel(), 1));
  Json figures{{"map_with_self", sums[0] / n}, {"chance_with_self", sums[1] / n}};
  if (paired > 0) {
    figures["map_without_self"] = sums[2] / static_cast<double>(paired);
    figures["chance_without_self"] = sums[3] / static_cast<double>(paired);
  }
  figures["n"] = numbers.numel();
  figures["n_without_self"] = paired;
  return figures;
}

}  // namespace opencloc
