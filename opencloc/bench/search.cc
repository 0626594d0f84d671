#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/gemm/gemm_fp32.h"
#include "opencloc/kernels/gemm/gemm_int8.h"
#include "opencloc/kernels/isa/peak.h"
#include "opencloc/kernels/parallel.h"
#include "opencloc/kernels/scan/scan.h"

namespace opencloc::bench {
namespace {

constexpr int64_t kSearchWidth = 512, kMadeAtATime = 1000;
constexpr int64_t kHits = 10, kRescoredHits = 4 * kHits, kRecallQueries = 100;
constexpr uint64_t kQuerySeed = 1;

// Rows [begin, begin + count) of unit length -> to [count, E]. All lean one way, as a model's do.
void make_up_rows(uint64_t seed, int64_t begin, int64_t count, float* to) {
  for (int64_t r = 0; r < count; ++r, to += kSearchWidth) {
    Rng rng(seed, {static_cast<uint64_t>(begin + r)});
    double squares = 0;
    for (int64_t i = 0; i < kSearchWidth; i += 4) {
      uint64_t bits = rng.next();
      for (int64_t k = 0; k < 4; ++k, bits >>= 16) {
        const float x = static_cast<float>(bits & 65535) / 32768.0f - 0.8f;
        to[i + k] = x;
        squares += static_cast<double>(x) * static_cast<double>(x);
      }
    }
    const auto factor = static_cast<float>(1 / std::sqrt(squares));
    for (int64_t i = 0; i < kSearchWidth; ++i) to[i] *= factor;
  }
}

// Rows as a segment holds them.
class MadeUpRows {
 public:
  MadeUpRows(uint64_t seed, int64_t rows)
      : rows_(rows),
        values_(rows * kSearchWidth),
        scale_(rows),
        sums_(rows),
        exact_(rows * kSearchWidth) {
    kernels::parallel_items((rows + kMadeAtATime - 1) / kMadeAtATime, [&](int64_t chunk) {
      const int64_t begin = chunk * kMadeAtATime, end = std::min(rows, begin + kMadeAtATime);
      std::vector<float> made(static_cast<size_t>((end - begin) * kSearchWidth));
      make_up_rows(seed, begin, end - begin, made.data());
      const int64_t at = begin * kSearchWidth;
      kernels::quantize_weight(made.data(), end - begin, kSearchWidth, values_.data() + at,
                               scale_.data() + begin);
      for (size_t i = 0; i < made.size(); ++i)
        exact_.data()[at + static_cast<int64_t>(i)] = kernels::round_to_bf16(made[i]);
      for (int64_t r = begin; r < end; ++r) {
        const int8_t* row = values_.data() + r * kSearchWidth;
        sums_.data()[r] = 0;
        for (int64_t i = 0; i < kSearchWidth; ++i) sums_.data()[r] += row[i];
      }
    });
  }
  kernels::ScanPart part() const {
    return {.rows = rows_,
            .values = values_.data(),
            .scale = scale_.data(),
            .sums = sums_.data(),
            .exact = exact_.data()};
  }

 private:
  const int64_t rows_;
  kernels::AlignedBuffer<int8_t> values_;
  kernels::AlignedBuffer<float> scale_;
  kernels::AlignedBuffer<int32_t> sums_;
  kernels::AlignedBuffer<kernels::bf16> exact_;
};

// The kHits-th best score of every query over all rows, in F32. -> [queries]
std::vector<float> exact_bars(uint64_t seed, int64_t rows, const std::vector<float>& queries) {
  const auto count = static_cast<int64_t>(queries.size()) / kSearchWidth;
  std::vector<std::vector<float>> best(static_cast<size_t>(count));
  std::vector<float> made(static_cast<size_t>(kMadeAtATime * kSearchWidth));
  std::vector<float> scores(static_cast<size_t>(count * kMadeAtATime));
  for (int64_t begin = 0; begin < rows; begin += kMadeAtATime) {
    const int64_t some = std::min(kMadeAtATime, rows - begin);
    make_up_rows(seed, begin, some, made.data());
    kernels::gemm_fp32({.transpose_b = kernels::Transpose::kYes,
                        .m = count,
                        .n = some,
                        .k = kSearchWidth,
                        .lda = kSearchWidth,
                        .ldb = kSearchWidth,
                        .ldc = some},
                       queries.data(), made.data(), scores.data());
    for (int64_t q = 0; q < count; ++q) {
      auto& of_query = best[static_cast<size_t>(q)];
      const auto from = scores.begin() + q * some;
      of_query.insert(of_query.end(), from, from + some);
      const auto kept = std::min<size_t>(of_query.size(), kHits);
      std::partial_sort(of_query.begin(), of_query.begin() + static_cast<std::ptrdiff_t>(kept),
                        of_query.end(), std::greater<>());
      of_query.resize(kept);
    }
  }
  std::vector<float> bars;
  for (const auto& of_query : best) bars.push_back(of_query.back());
  return bars;
}

// Which share of the true best kHits the scan gives: the mean over the queries, and the least.
struct Recall {
  double mean = 0, least = 1;
};
Recall recall_of(uint64_t seed, const kernels::ScanPart& part) {
  std::vector<float> queries(static_cast<size_t>(kRecallQueries * kSearchWidth));
  make_up_rows(seed + kQuerySeed, 0, kRecallQueries, queries.data());
  const auto bars = exact_bars(seed, part.rows, queries);
  const auto answers =
      kernels::scan({&part, 1}, kSearchWidth, queries.data(), kRecallQueries, kRescoredHits);
  Recall recall;
  std::vector<float> row(static_cast<size_t>(kSearchWidth));
  for (size_t q = 0; q < answers.size(); ++q) {
    int64_t found = 0;
    const auto hits = std::min<size_t>(answers[q].hits.size(), kHits);
    for (size_t i = 0; i < hits; ++i) {
      make_up_rows(seed, answers[q].hits[i].row, 1, row.data());
      double exact = 0;
      for (int64_t k = 0; k < kSearchWidth; ++k) {
        exact += static_cast<double>(row[static_cast<size_t>(k)]) *
                 static_cast<double>(
                     queries[q * static_cast<size_t>(kSearchWidth) + static_cast<size_t>(k)]);
      }
      found += exact >= static_cast<double>(bars[q]) - 1e-6 ? 1 : 0;
    }
    const double share =
        static_cast<double>(found) / static_cast<double>(std::max<size_t>(hits, 1));
    recall.mean += share / static_cast<double>(answers.size());
    recall.least = std::min(recall.least, share);
  }
  return recall;
}

}  // namespace

void search(const BenchOptions& options) {
  const MadeUpRows rows(options.seed, options.rows);
  const kernels::ScanPart part = rows.part();
  const double bandwidth = kernels::read_gbytes_per_s();
  const auto bytes = static_cast<double>(options.rows * (kSearchWidth + 8));
  const std::string name =
      "search/" + std::to_string(options.rows) + "x" + std::to_string(kSearchWidth);
  for (const int64_t count : {1, 16}) {
    std::vector<float> queries(static_cast<size_t>(count * kSearchWidth));
    make_up_rows(options.seed + kQuerySeed, 0, count, queries.data());
    const Spent spent = time_of(options.seconds, [&] {
      kernels::scan({&part, 1}, kSearchWidth, queries.data(), count, kRescoredHits);
    });
    Figure figure =
        figure_of(name + "/q" + std::to_string(count), static_cast<double>(count), spent);
    figure.more["ms_a_pass"] = 1000 * spent.wall;
    figure.more["cpu_ms_a_pass"] = 1000 * spent.cpu;
    figure.more["ms_a_query"] = 1000 * spent.wall / static_cast<double>(count);
    figure.more["gbytes_per_s"] = bytes / spent.wall * 1e-9;
    figure.more["share_of_read_bandwidth"] = bytes / spent.wall * 1e-9 / bandwidth;
    report(options, figure);
  }
  const Recall recall = recall_of(options.seed, part);
  Figure figure;
  figure.name = name + "/recall_at_10";
  figure.more["mean"] = recall.mean;
  figure.more["least"] = recall.least;
  figure.more["queries"] = kRecallQueries;
  figure.more["bytes_a_vector"] = kSearchWidth + 8;
  report(options, figure);
}

}  // namespace opencloc::bench
