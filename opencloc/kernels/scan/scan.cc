#include "opencloc/kernels/scan/scan.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/gemm/gemm_int8.h"
#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {
namespace {

constexpr int64_t kScanChunk = 256;   // rows whose bytes stay in the cache for all queries
constexpr int64_t kQueryGroup = 32;   // queries of one pass: their histograms take 0.5 MiB a piece
constexpr int64_t kPieceRows = 8192;  // the work that pays for waking a thread
constexpr int64_t kMergedGap = 8;     // rows left out that are rather multiplied than jumped over
constexpr double kUpperQuartile = 0.6744897501960817;  // of the normal distribution

// The best so far of one query: `most` rows, by score, then by place.
class Best {
 public:
  struct Entry {
    float score;
    int64_t row;  // over all parts
  };
  static bool before(const Entry& a, const Entry& b) {
    return a.score > b.score || (a.score == b.score && a.row < b.row);
  }

  explicit Best(int64_t most) : most_(static_cast<size_t>(most)) {}
  // Scores that are below are not needed: they, and NaN, fail `score >= bar()`.
  float bar() const { return bar_; }
  void add(const Entry& entry) {
    if (entries_.size() < most_) {
      entries_.push_back(entry);
      if (entries_.size() < most_) return;
      std::make_heap(entries_.begin(), entries_.end(), before);
    } else {
      if (!before(entry, entries_.front())) return;
      std::pop_heap(entries_.begin(), entries_.end(), before);
      entries_.back() = entry;
      std::push_heap(entries_.begin(), entries_.end(), before);
    }
    bar_ = entries_.front().score;
  }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  size_t most_;
  std::vector<Entry> entries_;  // a heap with the worst in front, once there are `most_`
  float bar_ = -std::numeric_limits<float>::infinity();
};

// The queries of one pass as the kernel reads them.
struct Queries {
  int64_t count = 0;
  std::vector<uint8_t> bytes;  // [count, stride]
  std::vector<float> scale;    // [count]
};

Queries quantized(const float* values, int64_t count, int64_t width) {
  const int64_t stride = scan_stride(width);
  Queries queries{count, std::vector<uint8_t>(static_cast<size_t>(count * stride), uint8_t{128}),
                  std::vector<float>(static_cast<size_t>(count))};
  std::vector<int8_t> row(static_cast<size_t>(width));
  for (int64_t q = 0; q < count; ++q) {
    quantize_weight(values + q * width, 1, width, row.data(),
                    &queries.scale[static_cast<size_t>(q)]);
    uint8_t* to = queries.bytes.data() + q * stride;
    for (int64_t i = 0; i < width; ++i)
      to[i] = static_cast<uint8_t>(row[static_cast<size_t>(i)] + 128);
  }
  return queries;
}

bool is_left_out(const ScanPart& part, int64_t row) {
  return part.left_out != nullptr && (part.left_out[row / 64] >> (row % 64) & 1) != 0;
}

// What one piece of the rows has for every query.
struct Found {
  std::vector<Best> best;
  std::vector<ScoreHistogram> scores;
};

// Scores of rows [begin, end) of a part, the first of which is number `first` over all parts.
class Pass {
 public:
  Pass(const Queries& queries, int64_t width, int64_t candidates)
      : table_(kernel_table()),
        queries_(queries),
        stride_(scan_stride(width)),
        scores_(queries.count * kScanChunk),
        bins_(kScanChunk) {
    found_.best.assign(static_cast<size_t>(queries.count), Best(candidates));
    found_.scores.resize(static_cast<size_t>(queries.count));
  }

  void rows(const ScanPart& part, int64_t begin, int64_t end, int64_t first) {
    for (int64_t row = begin; row < end;) {
      while (row < end && is_left_out(part, row)) ++row;
      int64_t stop = row, gap = 0;
      for (int64_t i = row; i < end && i - row < kScanChunk && gap < kMergedGap; ++i) {
        gap = is_left_out(part, i) ? gap + 1 : 0;
        if (gap == 0) stop = i + 1;
      }
      if (stop > row) chunk(part, row, stop, first + row - begin);
      row = stop;
    }
  }
  Found take() { return std::move(found_); }

 private:
  void chunk(const ScanPart& part, int64_t begin, int64_t end, int64_t first) {
    const int64_t count = end - begin;
    table_.scan_rows({.rows = count,
                      .queries = queries_.count,
                      .stride = stride_,
                      .values = part.values + begin * stride_,
                      .scale = part.scale + begin,
                      .sums = part.sums + begin,
                      .query = queries_.bytes.data(),
                      .score_stride = kScanChunk},
                     scores_.data());
    for (int64_t q = 0; q < queries_.count; ++q) {
      Best& best = found_.best[static_cast<size_t>(q)];
      ScoreHistogram& histogram = found_.scores[static_cast<size_t>(q)];
      float* scores = scores_.data() + q * kScanChunk;
      const float scale = queries_.scale[static_cast<size_t>(q)];
      if (part.offset != nullptr) {  // in the units of the sums
        const float per_score = scale > 0 ? 1 / scale : 0;
        for (int64_t i = 0; i < count; ++i) scores[i] += per_score * part.offset[begin + i];
      }
      const float per_unit = scale * (ScoreHistogram::kBins / 2);
      const float greatest = table_.scan_bins(scores, count, per_unit, bins_.data());
      for (int64_t i = 0; i < count; ++i)
        histogram.add(bins_.data()[i], is_left_out(part, begin + i) ? 0 : 1);
      if (!(greatest >= best.bar())) continue;
      for (int64_t i = 0; i < count; ++i) {
        if (scores[i] >= best.bar() && !is_left_out(part, begin + i))
          best.add({scores[i], first + i});
      }
    }
  }

  const KernelTable& table_;
  const Queries& queries_;
  const int64_t stride_;
  AlignedBuffer<float> scores_;  // [queries, kScanChunk]
  AlignedBuffer<int32_t> bins_;  // of one query
  Found found_;
};

// Where each part begins in the row numbers over all parts; one more for the end.
std::vector<int64_t> starts_of(std::span<const ScanPart> parts) {
  std::vector<int64_t> starts(parts.size() + 1);
  for (size_t i = 0; i < parts.size(); ++i) starts[i + 1] = starts[i] + parts[i].rows;
  return starts;
}

// The part that holds a row.
size_t part_of(const std::vector<int64_t>& starts, int64_t row) {
  return static_cast<size_t>(std::upper_bound(starts.begin(), starts.end(), row) - starts.begin()) -
         1;
}

// The best over all pieces, scored exactly.
std::vector<ScanHit> rescored(std::span<const ScanPart> parts, const std::vector<int64_t>& starts,
                              int64_t width, const float* query, std::vector<Best::Entry> best,
                              int64_t candidates) {
  const auto kept = std::min(best.size(), static_cast<size_t>(candidates));
  std::partial_sort(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(kept), best.end(),
                    Best::before);
  best.resize(kept);
  parallel_ranges(static_cast<int64_t>(kept), 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Best::Entry& entry = best[static_cast<size_t>(i)];
      const size_t part = part_of(starts, entry.row);
      const int64_t row = entry.row - starts[part];
      const float unit = parts[part].unit == nullptr ? 0 : parts[part].unit[row];
      entry.score = exact_score(query, parts[part].exact + row * width, unit, width);
      if (parts[part].offset != nullptr) entry.score += parts[part].offset[row];
    }
  });
  std::erase_if(best, [](const Best::Entry& entry) { return std::isnan(entry.score); });
  std::sort(best.begin(), best.end(), Best::before);
  std::vector<ScanHit> hits;
  hits.reserve(best.size());
  for (const Best::Entry& entry : best) {
    const size_t part = part_of(starts, entry.row);
    hits.push_back({static_cast<int64_t>(part), entry.row - starts[part], entry.score});
  }
  return hits;
}

}  // namespace

void ScoreHistogram::add(const ScoreHistogram& other) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
}

int64_t ScoreHistogram::count() const {
  return std::accumulate(counts_.begin(), counts_.end(), int64_t{0});
}

double ScoreHistogram::quantile(double share) const {
  const double wanted = share * static_cast<double>(count());
  double below = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    const auto here = static_cast<double>(counts_[i]);
    if (here > 0 && below + here >= wanted) {
      const double bin = static_cast<double>(i) + std::max(0.0, wanted - below) / here;
      return bin / (kBins / 2) - 1;
    }
    below += here;
  }
  return 0;
}

double ScoreHistogram::deviation() const {
  return std::max((median() - quantile(0.25)) / kUpperQuartile, 1.0 / kBins);
}

std::vector<ScanAnswer> scan(std::span<const ScanPart> parts, int64_t width, const float* queries,
                             int64_t count, int64_t candidates) {
  const std::vector<int64_t> starts = starts_of(parts);
  const int64_t total = starts.back();
  const int64_t pieces =
      std::clamp<int64_t>(total / kPieceRows, 1, 4 * static_cast<int64_t>(thread_count()));
  std::vector<ScanAnswer> answers(static_cast<size_t>(count));
  if (candidates <= 0) candidates = 1;
  for (int64_t at = 0; at < count; at += kQueryGroup) {
    const int64_t group = std::min(kQueryGroup, count - at);
    const Queries packed = quantized(queries + at * width, group, width);
    std::vector<Found> found(static_cast<size_t>(pieces));
    parallel_items(pieces, [&](int64_t piece) {
      Pass pass(packed, width, candidates);
      const int64_t begin = total * piece / pieces, end = total * (piece + 1) / pieces;
      for (size_t p = part_of(starts, begin); p < parts.size() && starts[p] < end; ++p) {
        const int64_t from = std::max(begin, starts[p]), to = std::min(end, starts[p + 1]);
        pass.rows(parts[p], from - starts[p], to - starts[p], from);
      }
      found[static_cast<size_t>(piece)] = pass.take();
    });
    for (int64_t q = 0; q < group; ++q) {
      const auto i = static_cast<size_t>(q);
      ScanAnswer& answer = answers[static_cast<size_t>(at) + i];
      std::vector<Best::Entry> best;
      for (const Found& of_piece : found) {
        answer.scores.add(of_piece.scores[i]);
        const auto& entries = of_piece.best[i].entries();
        best.insert(best.end(), entries.begin(), entries.end());
      }
      answer.hits =
          rescored(parts, starts, width, queries + (at + q) * width, std::move(best), candidates);
    }
  }
  return answers;
}

float exact_score(const float* query, const uint16_t* row, float unit, int64_t width) {
  double sum = 0;
  for (int64_t i = 0; i < width; ++i)
    sum += static_cast<double>(query[i]) * static_cast<double>(float_of_16(row[i], unit));
  return static_cast<float>(sum);
}

}  // namespace opencloc::kernels
