// Dot products of stored int8 rows with queries. Formats in scan/scan.h.
#pragma once

#include <cmath>
#include <limits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/isa/vec.h"

namespace opencloc::kernels {
namespace {

// Four rows at a time: their sums become one vector of four. A step is the bytes of one register.
constexpr int kScanRows = 4;
// Rows that stay in the nearest cache for all queries.
constexpr int64_t kScanNear = 32;

#if defined(__AVX512VNNI__)
constexpr int64_t kScanStep = 64;
typedef __m512i ScanSums;
typedef __m512i ScanBytes;
OPENCLOC_INLINE ScanBytes scan_row_bytes(const int8_t* p) { return _mm512_loadu_si512(p); }
OPENCLOC_INLINE ScanBytes scan_query_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
OPENCLOC_INLINE ScanSums scan_add(ScanSums sums, const ScanBytes& query, const ScanBytes& row) {
  return _mm512_dpbusd_epi32(sums, query, row);
}
#elif defined(__AVX512BW__)
constexpr int64_t kScanStep = 32;
typedef __m512i ScanSums;
typedef __m512i ScanBytes;
OPENCLOC_INLINE ScanBytes scan_row_bytes(const int8_t* p) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)p));
}
OPENCLOC_INLINE ScanBytes scan_query_bytes(const uint8_t* p) {
  return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i*)p));
}
OPENCLOC_INLINE ScanSums scan_add(ScanSums sums, const ScanBytes& query, const ScanBytes& row) {
  return _mm512_add_epi32(sums, _mm512_madd_epi16(query, row));
}
#elif defined(__AVX2__)
constexpr int64_t kScanStep = 16;
typedef __m256i ScanSums;
typedef __m256i ScanBytes;
OPENCLOC_INLINE ScanBytes scan_row_bytes(const int8_t* p) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)p));
}
OPENCLOC_INLINE ScanBytes scan_query_bytes(const uint8_t* p) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)p));
}
OPENCLOC_INLINE ScanSums scan_add(ScanSums sums, const ScanBytes& query, const ScanBytes& row) {
  return _mm256_add_epi32(sums, _mm256_madd_epi16(query, row));
}
#endif

#if defined(__AVX2__)
#if defined(__AVX512F__)
constexpr int kScanQueries = 4;  // with 4 rows 16 of 32 registers for sums
OPENCLOC_INLINE __m256i scan_half(const ScanSums& v) {
  return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}
#else
constexpr int kScanQueries = 2;
OPENCLOC_INLINE __m256i scan_half(const ScanSums& v) { return v; }
#endif
// The totals of the sums of four rows.
OPENCLOC_INLINE __m128i scan_totals(const ScanSums (&sums)[kScanRows]) {
  const __m256i ab = _mm256_hadd_epi32(scan_half(sums[0]), scan_half(sums[1]));
  const __m256i cd = _mm256_hadd_epi32(scan_half(sums[2]), scan_half(sums[3]));
  const __m256i all = _mm256_hadd_epi32(ab, cd);
  return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

template <int kQueries>
OPENCLOC_INLINE void scan_block(const ScanTile& tile, int64_t row, int64_t query, float* scores) {
  const int64_t left = tile.rows - row;
  const bool whole = left >= kScanRows;
  const int8_t* rows[kScanRows];
  float scale[kScanRows] = {};
  int32_t sums_of_rows[kScanRows] = {};
#pragma GCC unroll 4
  for (int r = 0; r < kScanRows; ++r) {
    const int64_t at = row + (r < left ? r : 0);  // past the end: the first again
    rows[r] = tile.values + at * tile.stride;
    scale[r] = tile.scale[at];
    sums_of_rows[r] = tile.sums[at];
  }
  const uint8_t* queries = tile.query + query * tile.stride;
  ScanSums sums[kQueries][kScanRows] = {};
  if (kQueries == 1) {
    // In the order of memory, which the processor reads ahead: four rows side by side took twice
    // as long.
#pragma GCC unroll 4
    for (int r = 0; r < kScanRows; ++r) {
      for (int64_t i = 0; i < tile.stride; i += kScanStep)
        sums[0][r] =
            scan_add(sums[0][r], scan_query_bytes(queries + i), scan_row_bytes(rows[r] + i));
    }
  } else {
    for (int64_t i = 0; i < tile.stride; i += kScanStep) {
      ScanBytes row_bytes[kScanRows];
#pragma GCC unroll 4
      for (int r = 0; r < kScanRows; ++r) row_bytes[r] = scan_row_bytes(rows[r] + i);
#pragma GCC unroll 4
      for (int q = 0; q < kQueries; ++q) {
        const ScanBytes query_bytes = scan_query_bytes(queries + q * tile.stride + i);
#pragma GCC unroll 4
        for (int r = 0; r < kScanRows; ++r) {
          sums[q][r] = scan_add(sums[q][r], query_bytes, row_bytes[r]);
        }
      }
    }
  }
  const __m128i offset = _mm_slli_epi32(_mm_loadu_si128((const __m128i*)sums_of_rows), 7);
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
    const __m128i products = _mm_sub_epi32(scan_totals(sums[q]), offset);
    const __m128 result = _mm_mul_ps(_mm_cvtepi32_ps(products), _mm_loadu_ps(scale));
    float* to = scores + (query + q) * tile.score_stride + row;
    if (whole) {
      _mm_storeu_ps(to, result);
    } else {
      float lanes[kScanRows];
      _mm_storeu_ps(lanes, result);
      for (int64_t r = 0; r < left; ++r) to[r] = lanes[r];
    }
  }
}

// What the next rows have in memory, share `part` of `parts`: several queries read rows side by
// side, which no processor guesses.
OPENCLOC_INLINE void scan_fetch_ahead(const ScanTile& tile, int64_t row, int64_t part,
                                      int64_t parts) {
  const int64_t lines = kScanRows * tile.stride / 64;
  const char* next = (const char*)tile.values + (row + kScanNear) * tile.stride;
  for (int64_t line = lines * part / parts; line < lines * (part + 1) / parts; ++line)
    _mm_prefetch(next + line * 64, _MM_HINT_T1);
}

template <int kQueries>
OPENCLOC_INLINE void scan_near(const ScanTile& tile, int64_t begin, int64_t query, float* scores) {
  const int64_t end = begin + kScanNear < tile.rows ? begin + kScanNear : tile.rows;
  for (int64_t row = begin; row < end; row += kScanRows) {
    if (kQueries > 1) scan_fetch_ahead(tile, row, query / kQueries, tile.queries / kQueries);
    scan_block<kQueries>(tile, row, query, scores);
  }
}

void scan_rows(const ScanTile& tile, float* scores) {
  for (int64_t row = 0; row < tile.rows; row += kScanNear) {
    int64_t query = 0;
    for (; query + kScanQueries <= tile.queries; query += kScanQueries)
      scan_near<kScanQueries>(tile, row, query, scores);
    for (; query < tile.queries; ++query) scan_near<1>(tile, row, query, scores);
  }
}
#else
// The definition, for all others to agree with. Unsigned: rows from a hostile file may overflow.
void scan_rows(const ScanTile& tile, float* scores) {
  for (int64_t row = 0; row < tile.rows; ++row) {
    const int8_t* values = tile.values + row * tile.stride;
    for (int64_t query = 0; query < tile.queries; ++query) {
      const uint8_t* bytes = tile.query + query * tile.stride;
      uint32_t sum = 0;
      for (int64_t i = 0; i < tile.stride; ++i) sum += (uint32_t)(bytes[i] * values[i]);
      const uint32_t product = sum - ((uint32_t)tile.sums[row] << 7);
      scores[query * tile.score_stride + row] = (float)(int32_t)product * tile.scale[row];
    }
  }
}
#endif

#if defined(__AVX512F__)
constexpr int64_t kScanLanes = 16;
typedef __m512 ScanScores;
OPENCLOC_INLINE ScanScores scan_all(float x) { return _mm512_set1_ps(x); }
OPENCLOC_INLINE ScanScores scan_load(const float* p) { return _mm512_loadu_ps(p); }
OPENCLOC_INLINE ScanScores scan_fma(ScanScores a, ScanScores b, ScanScores c) {
  return _mm512_fmadd_ps(a, b, c);
}
// The second where one of them is no number.
OPENCLOC_INLINE ScanScores scan_max(ScanScores a, ScanScores b) { return _mm512_max_ps(a, b); }
OPENCLOC_INLINE ScanScores scan_min(ScanScores a, ScanScores b) { return _mm512_min_ps(a, b); }
OPENCLOC_INLINE void scan_store_whole(int32_t* p, ScanScores x) {
  _mm512_storeu_si512(p, _mm512_cvttps_epi32(x));
}
#elif defined(__AVX2__)
constexpr int64_t kScanLanes = 8;
typedef __m256 ScanScores;
OPENCLOC_INLINE ScanScores scan_all(float x) { return _mm256_set1_ps(x); }
OPENCLOC_INLINE ScanScores scan_load(const float* p) { return _mm256_loadu_ps(p); }
OPENCLOC_INLINE ScanScores scan_fma(ScanScores a, ScanScores b, ScanScores c) {
  return _mm256_fmadd_ps(a, b, c);
}
OPENCLOC_INLINE ScanScores scan_max(ScanScores a, ScanScores b) { return _mm256_max_ps(a, b); }
OPENCLOC_INLINE ScanScores scan_min(ScanScores a, ScanScores b) { return _mm256_min_ps(a, b); }
OPENCLOC_INLINE void scan_store_whole(int32_t* p, ScanScores x) {
  _mm256_storeu_si256((__m256i*)p, _mm256_cvttps_epi32(x));
}
#endif

// What is no number goes to bin 0, and is never the greatest.
float scan_bins(const float* scores, int64_t count, float per_unit, int32_t* bins) {
  constexpr float kHalf = ScoreHistogram::kBins / 2;
  float greatest = -std::numeric_limits<float>::infinity();
  int64_t i = 0;
#if defined(__AVX2__)
  ScanScores most = scan_all(greatest);
  for (; i + kScanLanes <= count; i += kScanLanes) {
    const ScanScores x = scan_load(scores + i);
    const ScanScores bin = scan_max(scan_fma(x, scan_all(per_unit), scan_all(kHalf)), scan_all(0));
    scan_store_whole(bins + i, scan_min(bin, scan_all(2 * kHalf - 1)));
    most = scan_max(x, most);
  }
  float lanes[kScanLanes];
  __builtin_memcpy(lanes, &most, sizeof lanes);
  for (const float x : lanes) greatest = x > greatest ? x : greatest;
#endif
  for (; i < count; ++i) {
    const float x = scores[i], bin = std::fma(x, per_unit, kHalf);
    const float from_0 = bin > 0 ? bin : 0;
    bins[i] = (int32_t)(from_0 < 2 * kHalf - 1 ? from_0 : 2 * kHalf - 1);
    greatest = x > greatest ? x : greatest;
  }
  return greatest;
}

}  // namespace
}  // namespace opencloc::kernels
