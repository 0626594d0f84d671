#include "opencloc/eval/score_rows.h"

#include <algorithm>
#include <vector>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/kernels/gemm/gemm_fp32.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc {
namespace {

constexpr int64_t kMaxThreadStrip = int64_t{1} << 20;  // scores of one thread (4 MiB)

}  // namespace

dist::Share visit_scores(const ScoreRows& rows, dist::Group& group,
                         const std::function<void(int64_t i, const float* scores)>& visit) {
  const auto queries = rows.queries.to(torch::kCPU, torch::kFloat).contiguous();        // [Q, E]
  const auto candidates = rows.candidates.to(torch::kCPU, torch::kFloat).contiguous();  // [C, E]
  const int64_t count = queries.size(0), width = queries.size(1), all = candidates.size(0);
  const int64_t strip = std::clamp<int64_t>(kMaxThreadStrip / std::max<int64_t>(all, 1), 1,
                                            std::max<int64_t>(rows.chunk, 1));
  const auto own = dist::share_of((count + strip - 1) / strip, group);  // of the strips
  const float* query = queries.data_ptr<float>();
  const float* candidate = candidates.data_ptr<float>();
  kernels::parallel_items(own.end - own.begin, [&](int64_t number) {
    const kernels::ThreadLimit one_thread(1);  // also where there is only one strip
    const int64_t begin = (own.begin + number) * strip, end = std::min(begin + strip, count);
    std::vector<float> scores(static_cast<size_t>((end - begin) * all));  // [strip, C]
    kernels::gemm_fp32({.transpose_b = kernels::Transpose::kYes,
                        .m = end - begin,
                        .n = all,
                        .k = width,
                        .lda = width,
                        .ldb = width,
                        .ldc = all},
                       query + begin * width, candidate, scores.data());
    for (int64_t i = begin; i < end; ++i) visit(i, scores.data() + (i - begin) * all);
  });
  return {std::min(own.begin * strip, count), std::min(own.end * strip, count)};
}

void require_finite(const torch::Tensor& embeddings) {
  if (embeddings.isfinite().all().item<bool>()) return;
  throw Error::failed("the model gives embeddings that are not finite numbers", {},
                      "evaluate an earlier checkpoint");
}

}  // namespace opencloc
