#include <algorithm>
#include <cmath>
#include <vector>

#include <torch/utils.h>

#include "opencloc/ops/on_torch.h"
#include "opencloc/ops/transfer.h"

namespace opencloc::ops::on_torch {
namespace {

constexpr int64_t kScores = int64_t{1} << 28;  // elements of the scores at a time

// Groups side by side, row of keys by row of keys: each row has as many places as the fullest one
// of its part.
struct Places {
  struct Part {
    int64_t begin, end;   // rows of keys
    int64_t groups;       // places a row
    int64_t first_place;  // of all parts
  };
  std::vector<Part> parts;
  std::vector<int64_t> of_group;  // [N]
  int64_t count = 0;
};

Places places_of(const torch::Tensor& index, int64_t rows, int64_t scores_of_group) {
  const auto* row = index.data_ptr<int64_t>();
  const int64_t n = index.numel();
  std::vector<int64_t> groups(static_cast<size_t>(rows), 0);
  for (int64_t i = 0; i < n; ++i) {
    TORCH_CHECK(row[i] >= 0 && row[i] < rows, "indexed_attention: index outside the ", rows,
                " rows of keys");
    ++groups[static_cast<size_t>(row[i])];
  }
  Places places;
  std::vector<int64_t> first(static_cast<size_t>(rows), 0);  // place of a row's first group
  for (int64_t begin = 0; begin < rows;) {
    int64_t end = begin, most = 0;
    while (end < rows) {
      const int64_t with = std::max(most, groups[static_cast<size_t>(end)]);
      if (end > begin && (end + 1 - begin) * with * scores_of_group > kScores) break;
      most = with;
      ++end;
    }
    if (most > 0) places.parts.push_back({begin, end, most, places.count});
    for (int64_t b = begin; b < end; ++b)
      first[static_cast<size_t>(b)] = places.count + (b - begin) * most;
    places.count += (end - begin) * most;
    begin = end;
  }
  for (int64_t i = 0; i < n; ++i) places.of_group.push_back(first[static_cast<size_t>(row[i])]++);
  return places;
}

}  // namespace

PartialAttention indexed_attention(const torch::Tensor& q, const torch::Tensor& keys_values,
                                   const torch::Tensor& index) {
  const int64_t queries = q.size(1), width = q.size(2), tokens = keys_values.size(1);
  const double scale = 1.0 / std::sqrt(static_cast<double>(width));
  // The index is read here: on a device it is waited for.
  const auto places =
      places_of(index.to(torch::kCPU).contiguous(), keys_values.size(0), queries * tokens);
  if (places.parts.empty()) {  // still part of the graph
    const auto none = keys_values.sum() * 0;
    return {q * 1 + none, torch::zeros({q.size(0), queries}, q.options()) + none};
  }
  const auto place = to_device(torch::tensor(places.of_group, torch::kInt64), q.device());  // [N]
  const auto placed = torch::zeros({places.count, queries, width}, q.options())
                          .index_copy(0, place, q * scale);  // [places, P, D]
  std::vector<torch::Tensor> outs, sums;
  for (const auto& part : places.parts) {
    const int64_t rows = part.end - part.begin, all = rows * part.groups;
    const auto parts = keys_values.slice(0, part.begin, part.end).chunk(2, -1);  // [b, T, D] each
    const auto of_part = placed.slice(0, part.first_place, part.first_place + all)
                             .reshape({rows, part.groups * queries, width});  // [b, M P, D]
    const auto scores =
        torch::bmm(of_part, parts[0].transpose(1, 2))
            .to(torch::promoteTypes(q.scalar_type(), torch::kFloat));  // [b, M P, T]
    const auto sum = scores.logsumexp(-1);                             // [b, M P]
    const auto shares = (scores - sum.unsqueeze(-1)).exp().to(q.scalar_type());
    outs.push_back(torch::bmm(shares, parts[1]).reshape({all, queries, width}));
    sums.push_back(sum.reshape({all, queries}));
  }
  const auto chosen = [&](const std::vector<torch::Tensor>& parts) {
    return (parts.size() == 1 ? parts.front() : torch::cat(parts)).index_select(0, place);
  };
  return {chosen(outs), chosen(sums)};  // [N, P, D], [N, P]
}

torch::Tensor add_merged(const torch::Tensor& x, const PartialAttention& a,
                         const PartialAttention& b) {
  const auto log_sum_exp = torch::logaddexp(a.log_sum_exp, b.log_sum_exp);  // [N, P]
  const auto share = [&](const PartialAttention& part) {
    return (part.log_sum_exp - log_sum_exp).exp().to(part.out.scalar_type()).unsqueeze(-1);
  };
  return x + share(a) * a.out + share(b) * b.out;  // [N, P, D]
}

}  // namespace opencloc::ops::on_torch
