#include "opencloc/index/search.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/base/rng.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/gemm/gemm_fp32.h"
#include "opencloc/kernels/gemm/gemm_int8.h"
#include "opencloc/kernels/isa/peak.h"
#include "opencloc/kernels/parallel.h"
#include "opencloc/kernels/scan/scan.h"

namespace opencloc::bench {
namespace {

constexpr int64_t kSearchWidth = 512, kMadeAtATime = 1000;
constexpr int64_t kHits = 10, kRescoredHits = candidates_of(kHits), kRecallQueries = 100;
constexpr int64_t kIndexQueries = 1000;
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
  int64_t queries = 0;
  double sum = 0, least = 1;

  void add(int64_t found, size_t wanted) {
    const double share =
        static_cast<double>(found) / static_cast<double>(std::max<size_t>(wanted, 1));
    ++queries;
    sum += share;
    least = std::min(least, share);
  }
  Figure figure(const std::string& name) const {
    Figure figure;
    figure.name = name + "/recall_at_10";
    figure.more["mean"] = sum / static_cast<double>(std::max<int64_t>(queries, 1));
    figure.more["least"] = least;
    figure.more["queries"] = queries;
    return figure;
  }
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
    recall.add(found, hits);
  }
  return recall;
}

// The kHits-th best of all rows of an index, each scored as hits are.
float exact_bar(const IndexReader& index, const float* query) {
  std::vector<float> best;
  for (size_t part = 0; part < index.segments(); ++part) {
    const SegmentColumns& columns = index.columns(part);
    for (int64_t row = 0; row < columns.rows(); ++row) {
      best.push_back(
          kernels::exact_score(query, columns.scan.exact + row * columns.width, columns.width));
    }
    const auto kept = std::min<size_t>(best.size(), kHits);
    std::partial_sort(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(kept), best.end(),
                      std::greater<>());
    best.resize(kept);
  }
  return best.empty() ? 0 : best.back();
}

// `queries` [Q, E] of unit length.
Recall recall_of(const IndexReader& index, const std::vector<float>& queries) {
  const int64_t width = index.info().width;
  const auto count = static_cast<int64_t>(queries.size()) / width;
  std::vector<float> bars(static_cast<size_t>(count));
  kernels::parallel_items(count, [&](int64_t q) {
    bars[static_cast<size_t>(q)] = exact_bar(index, queries.data() + q * width);
  });
  const auto answers =
      kernels::scan(index.parts(SearchUnit::kBoth), width, queries.data(), count, kRescoredHits);
  Recall recall;
  for (size_t q = 0; q < answers.size(); ++q) {
    const auto wanted = std::min<size_t>(answers[q].hits.size(), kHits);
    int64_t found = 0;
    for (size_t i = 0; i < wanted; ++i) found += answers[q].hits[i].score >= bars[q] ? 1 : 0;
    recall.add(found, wanted);
  }
  return recall;
}

// Evenly spread over the rows of an index. [<= kIndexQueries, E]
std::vector<float> stored_queries(const IndexReader& index) {
  int64_t rows = 0;
  for (size_t part = 0; part < index.segments(); ++part) rows += index.columns(part).rows();
  const int64_t every = std::max<int64_t>(1, rows / kIndexQueries);
  std::vector<float> queries;
  for (size_t part = 0; part < index.segments(); ++part) {
    for (int64_t row = 0; row < index.columns(part).rows(); row += every) {
      const auto vector = index.columns(part).vector(row);
      queries.insert(queries.end(), vector.begin(), vector.end());
    }
  }
  return queries;
}

// An index's own vectors, asked for by themselves and by the texts of a file of `embed`.
void search_index(const BenchOptions& options) {
  const IndexReader index(options.index);
  report(options, recall_of(index, stored_queries(index)).figure("search/index/stored"));
  if (options.queries.empty()) return;
  const SafetensorsFile file(options.queries);
  const auto texts = file.tensor("text_embeds").to(torch::kFloat).contiguous();  // [Q, E]
  if (texts.dim() != 2 || texts.size(1) != index.info().width) {
    throw Error::input("text_embeds is no matrix with the width of the index", options.queries,
                       "embed texts with the index's model");
  }
  const float* begin = texts.data_ptr<float>();
  report(options, recall_of(index, std::vector<float>(begin, begin + texts.numel()))
                      .figure("search/index/texts"));
}

}  // namespace

void search(const BenchOptions& options) {
  if (!options.index.empty()) return search_index(options);
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
  Figure recall = recall_of(options.seed, part).figure(name);
  recall.more["bytes_a_vector"] = kSearchWidth + 8;
  report(options, recall);
}

}  // namespace opencloc::bench
