// Dot products of stored int8 rows with queries. Formats in scan/scan.h.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/isa/vec.h"

namespace opencloc::kernels {
namespace {

// Four rows at a time: their sums become one vector of four. A step is the bytes of one register.
constexpr int kScanRows = 4;

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
  for (int r = 0; r < kScanRows; ++r) {
    const int64_t at = row + (r < left ? r : 0);  // past the end: the first again
    rows[r] = tile.values + at * tile.stride;
    scale[r] = tile.scale[at];
    sums_of_rows[r] = tile.sums[at];
  }
  const uint8_t* queries = tile.query + query * tile.stride;
  ScanSums sums[kQueries][kScanRows] = {};
  for (int64_t i = 0; i < tile.stride; i += kScanStep) {
    ScanBytes row_bytes[kScanRows];
    for (int r = 0; r < kScanRows; ++r) row_bytes[r] = scan_row_bytes(rows[r] + i);
    for (int q = 0; q < kQueries; ++q) {
      const ScanBytes query_bytes = scan_query_bytes(queries + q * tile.stride + i);
      for (int r = 0; r < kScanRows; ++r) {
        sums[q][r] = scan_add(sums[q][r], query_bytes, row_bytes[r]);
      }
    }
  }
  const __m128i offset = _mm_slli_epi32(_mm_loadu_si128((const __m128i*)sums_of_rows), 7);
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

void scan_rows(const ScanTile& tile, float* scores) {
  for (int64_t row = 0; row < tile.rows; row += kScanRows) {
    int64_t query = 0;
    for (; query + kScanQueries <= tile.queries; query += kScanQueries) {
      scan_block<kScanQueries>(tile, row, query, scores);
    }
    for (; query < tile.queries; ++query) scan_block<1>(tile, row, query, scores);
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

}  // namespace
}  // namespace opencloc::kernels
