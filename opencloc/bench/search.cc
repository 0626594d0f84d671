#include "opencloc/index/search.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
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
constexpr int64_t kStoredQueries = 1000;
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

// Writes rows [begin, begin + count) of unit length -> to [count, E].
using RowSource = std::function<void(int64_t begin, int64_t count, float* to)>;

// Rows as a segment holds them.
class StoredRows {
 public:
  StoredRows(int64_t rows, int64_t width, const RowSource& source)
      : rows_(rows),
        width_(width),
        source_(source),
        values_(rows * kernels::scan_stride(width)),
        scale_(rows),
        sums_(rows),
        exact_(rows * width),
        unit_(rows) {
    kernels::parallel_items((rows + kMadeAtATime - 1) / kMadeAtATime, [&](int64_t chunk) {
      const int64_t begin = chunk * kMadeAtATime, end = std::min(rows, begin + kMadeAtATime);
      std::vector<float> made(static_cast<size_t>((end - begin) * width));
      source(begin, end - begin, made.data());
      for (int64_t r = begin; r < end; ++r) store(r, made.data() + (r - begin) * width);
    });
  }
  int64_t width() const { return width_; }
  const RowSource& source() const { return source_; }
  kernels::ScanPart part() const {
    return {.rows = rows_,
            .values = values_.data(),
            .scale = scale_.data(),
            .sums = sums_.data(),
            .exact = exact_.data(),
            .unit = unit_.data()};
  }

 private:
  void store(int64_t row, const float* vector) {
    const int64_t stride = kernels::scan_stride(width_);
    int8_t* values = values_.data() + row * stride;
    std::fill_n(values, stride, int8_t{0});
    kernels::quantize_weight(vector, 1, width_, values, scale_.data() + row);
    sums_.data()[row] = std::accumulate(values, values + stride, 0);
    const float unit = kernels::unit16_of(vector, width_);
    unit_.data()[row] = unit;
    kernels::round_to_16(vector, width_, unit, exact_.data() + row * width_);
  }

  const int64_t rows_, width_;
  const RowSource source_;
  kernels::AlignedBuffer<int8_t> values_;
  kernels::AlignedBuffer<float> scale_;
  kernels::AlignedBuffer<int32_t> sums_;
  kernels::AlignedBuffer<uint16_t> exact_;
  kernels::AlignedBuffer<float> unit_;
};

// The kHits-th best score of every query [Q, E] over all rows, in F32. -> [Q]
std::vector<float> exact_bars(const StoredRows& rows, const std::vector<float>& queries) {
  const int64_t width = rows.width(), count = static_cast<int64_t>(queries.size()) / width;
  std::vector<std::vector<float>> best(static_cast<size_t>(count));
  std::vector<float> made(static_cast<size_t>(kMadeAtATime * width));
  std::vector<float> scores(static_cast<size_t>(count * kMadeAtATime));
  for (int64_t begin = 0; begin < rows.part().rows; begin += kMadeAtATime) {
    const int64_t some = std::min(kMadeAtATime, rows.part().rows - begin);
    rows.source()(begin, some, made.data());
    kernels::gemm_fp32({.transpose_b = kernels::Transpose::kYes,
                        .m = count,
                        .n = some,
                        .k = width,
                        .lda = width,
                        .ldb = width,
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

// Which share of the true best kHits a search gives, its scores computed again in F32: the mean
// over the queries [Q, E], and the least.
Figure recall_of(const StoredRows& rows, const std::vector<float>& queries, std::string name) {
  const int64_t width = rows.width(), count = static_cast<int64_t>(queries.size()) / width;
  const auto bars = exact_bars(rows, queries);
  const kernels::ScanPart part = rows.part();
  const auto answers = kernels::scan({&part, 1}, width, queries.data(), count, kRescoredHits);
  double sum = 0, least = 1;
  std::vector<float> row(static_cast<size_t>(width));
  for (size_t q = 0; q < answers.size(); ++q) {
    int64_t found = 0;
    const auto hits = std::min<size_t>(answers[q].hits.size(), kHits);
    for (size_t i = 0; i < hits; ++i) {
      rows.source()(answers[q].hits[i].row, 1, row.data());
      double exact = 0;
      for (size_t k = 0; k < row.size(); ++k) {
        exact += static_cast<double>(row[k]) *
                 static_cast<double>(queries[q * static_cast<size_t>(width) + k]);
      }
      found += exact >= static_cast<double>(bars[q]) - 1e-6 ? 1 : 0;
    }
    const double share =
        static_cast<double>(found) / static_cast<double>(std::max<size_t>(hits, 1));
    sum += share;
    least = std::min(least, share);
  }
  Figure figure;
  figure.name = std::move(name);
  figure.more["mean"] = sum / static_cast<double>(std::max<size_t>(answers.size(), 1));
  figure.more["least"] = least;
  figure.more["queries"] = static_cast<double>(count);
  figure.more["rows"] = static_cast<double>(part.rows);
  figure.more["bytes_a_vector"] = static_cast<double>(kernels::scan_stride(width) + 8);
  return figure;
}

// Of a file of `embed`; undefined where it has none of that name. [N, E]
torch::Tensor embeddings(const std::string& path, const std::string& name) {
  const SafetensorsFile file(path);
  if (file.find(name) == nullptr) return {};
  return file.tensor(name).to(torch::kFloat).contiguous();
}

std::vector<float> values_of(const torch::Tensor& rows) {
  const float* begin = rows.data_ptr<float>();
  return {begin, begin + rows.numel()};
}

// A model's own vectors, asked for by some of them and by texts.
void search_vectors(const BenchOptions& options) {
  std::vector<torch::Tensor> kinds;
  for (const char* name : {"image_embeds", "region_embeds"}) {
    if (const auto rows = embeddings(options.vectors, name); rows.defined()) kinds.push_back(rows);
  }
  if (kinds.empty()) {
    throw Error::input("no image_embeds and no region_embeds", options.vectors,
                       "give what 'opencloc embed' writes");
  }
  const auto all = torch::cat(kinds).contiguous();  // [N, E]
  const int64_t width = all.size(1);
  const StoredRows rows(all.size(0), width, [all, width](int64_t begin, int64_t count, float* to) {
    std::copy_n(all.data_ptr<float>() + begin * width, count * width, to);
  });
  const int64_t every = std::max<int64_t>(1, all.size(0) / kStoredQueries);
  const auto some = all.slice(0, 0, all.size(0), every).contiguous();
  report(options, recall_of(rows, values_of(some), "search/vectors/stored/recall_at_10"));
  if (options.queries.empty()) return;
  const auto texts = embeddings(options.queries, "text_embeds");
  if (!texts.defined() || texts.size(1) != width) {
    throw Error::input("no text_embeds of the vectors' width", options.queries,
                       "embed texts with the same model");
  }
  report(options, recall_of(rows, values_of(texts), "search/vectors/texts/recall_at_10"));
}

}  // namespace

void search(const BenchOptions& options) {
  if (!options.vectors.empty()) return search_vectors(options);
  const StoredRows rows(options.rows, kSearchWidth,
                        [seed = options.seed](int64_t begin, int64_t count, float* to) {
                          make_up_rows(seed, begin, count, to);
                        });
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
  std::vector<float> queries(static_cast<size_t>(kRecallQueries * kSearchWidth));
  make_up_rows(options.seed + kQuerySeed, 0, kRecallQueries, queries.data());
  report(options, recall_of(rows, queries, name + "/recall_at_10"));
}

}  // namespace opencloc::bench
