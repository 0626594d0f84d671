// Exact nearest rows by dot product: one pass over int8 rows that lie in memory as they lie on
// disk, for many queries at a time, then the best candidates again with their 16-bit values.
//
// A row of width E is E bytes s8, padded with zeros to a multiple of 64, and a scale: x = scale q,
// |q| <= 127 (quantize_weight of gemm/gemm_int8.h). Queries become u8 around 128, which VNNI
// multiplies with s8; the sum of a row's bytes takes the 128 out again. Sums are exact in 32 bits,
// so every instruction set chooses the same candidates; rescored dot products are summed in double,
// in order. Rescoring four times as many candidates as are wanted keeps more than 99.9 % of the
// true best (docs/results/search.md). Threaded; the same answer for any number of threads and any
// cut of the rows into parts.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "opencloc/kernels/scan/row16.h"

namespace opencloc::kernels {

constexpr int64_t kMaxScanWidth = 1 << 16;  // sums stay within 32 bits
// Bytes from one row to the next.
constexpr int64_t scan_stride(int64_t width) { return (width + 63) / 64 * 64; }

// Rows that lie together. Nothing in it is trusted: any bytes give some numbers.
struct ScanPart {
  int64_t rows = 0;
  const int8_t* values = nullptr;      // [rows, scan_stride(width)]
  const float* scale = nullptr;        // [rows]
  const int32_t* sums = nullptr;       // [rows] of a row's values
  const uint16_t* exact = nullptr;     // [rows, width], as row16.h says
  const float* unit = nullptr;         // [rows] of `exact`; null: 0, half precision
  const float* offset = nullptr;       // [rows] added to the dot products, finite; null: 0
  const uint64_t* left_out = nullptr;  // [ceil(rows / 64)], bit r % 64 = row r is not searched;
                                       // null: all are
};

// How the scores of one query are spread over [-1, 1].
class ScoreHistogram {
 public:
  static constexpr int64_t kBins = 4096;

  // Score x belongs to bin kBins / 2 (x + 1), rounded down, the first or the last one.
  void add(int64_t bin, uint32_t times = 1) { counts_[static_cast<size_t>(bin)] += times; }
  void add(const ScoreHistogram& other);

  int64_t count() const;
  // The score that a share of the rows, 0 to 1, lies below: interpolated within its bin. 0 when
  // there are no rows.
  double quantile(double share) const;
  double median() const { return quantile(0.5); }
  // A standard deviation from the lower half alone, which true matches do not widen:
  // (median - lower quartile) / 0.6745. At least half a bin.
  double deviation() const;

 private:
  std::array<uint32_t, kBins> counts_{};
};

struct ScanHit {
  int64_t part = 0, row = 0;
  float score = 0;  // the rescored dot product, with the row's offset
};

struct ScanAnswer {
  std::vector<ScanHit> hits;  // best first; equal scores in order of part and row
  ScoreHistogram scores;      // of all searched rows, by their int8 scores
};

// The best `candidates` rows of every query, fewer where there are fewer; rows whose score is no
// number are none of them. queries [count, width], finite; unit length makes scores cosines, which
// the histogram expects. -> [count]
std::vector<ScanAnswer> scan(std::span<const ScanPart> parts, int64_t width, const float* queries,
                             int64_t count, int64_t candidates);

// The dot product that scan() rescores with.
float exact_score(const float* query, const uint16_t* row, float unit, int64_t width);

// Some rows and queries as the loops of one thread see them.
struct ScanTile {
  int64_t rows = 0, queries = 0;
  int64_t stride = 0;              // scan_stride(width)
  const int8_t* values = nullptr;  // [rows, stride]
  const float* scale = nullptr;    // [rows]
  const int32_t* sums = nullptr;   // [rows]
  const uint8_t* query = nullptr;  // [queries, stride]: 128 + q
  int64_t score_stride = 0;        // of `scores`, at least rows
};

}  // namespace opencloc::kernels
