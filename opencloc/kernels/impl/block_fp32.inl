// The F32 product of rows as they lie in memory and a packed block of columns.
#pragma once

#include "opencloc/kernels/impl/gelu.inl"
#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/isa/vec.h"

namespace opencloc::kernels {
namespace {

constexpr int kFp32Vecs = kTileVecs * kWidth > 32 ? 32 / kWidth : kTileVecs;
constexpr int kFp32Rows = kWidth == 16 ? 8 : 4;

// kFp32Rows rows of c from row0, one strip of columns, over `depth`; kFetch as in block.inl. Rows
// of `a` from `rows` on are not there: the last one is read in their place.
template <bool kFetch>
OPENCLOC_INLINE void block_strip_fp32(int64_t depth, int64_t rows, const float* a, int64_t stride,
                                      const float* b, float* c, int64_t row0, bool accumulate,
                                      int64_t ahead) {
  Vec sums[kFp32Rows][kFp32Vecs];
  const float* row[kFp32Rows];
  for (int r = 0; r < kFp32Rows; ++r) {
    row[r] = a + (row0 + r < rows ? row0 + r : rows - 1) * stride;
    for (int v = 0; v < kFp32Vecs; ++v) {
      sums[r][v] = accumulate ? load(c + (row0 + r) * 32 + v * kWidth) : Vec{};
    }
  }
  for (int64_t d = 0; d < depth; ++d, b += 32) {
    Vec columns[kFp32Vecs];
    for (int v = 0; v < kFp32Vecs; ++v) {
      columns[v] = load(b + v * kWidth);
      if constexpr (kFetch) __builtin_prefetch(b + v * kWidth + ahead, 0, 2);
    }
    for (int r = 0; r < kFp32Rows; ++r) {
      const Vec factor = splat(row[r][d]);
      for (int v = 0; v < kFp32Vecs; ++v) sums[r][v] += factor * columns[v];
    }
  }
  for (int r = 0; r < kFp32Rows; ++r) {
    for (int v = 0; v < kFp32Vecs; ++v) store(c + (row0 + r) * 32 + v * kWidth, sums[r][v]);
  }
}

void block_rows_fp32(int64_t depth, int64_t rows, const float* a, int64_t stride, const float* b,
                     float* c) {
  // So much of b, 24 KB, stays in the first-level cache while the rows pass.
  constexpr int64_t kCachedDepth = 192;
  for (int64_t first = 0; first < depth || first == 0; first += kCachedDepth) {
    const int64_t some = depth - first < kCachedDepth ? depth - first : kCachedDepth;
    for (int64_t column = 0; column < 32; column += kFp32Vecs * kWidth) {
      const float *left = a + first, *right = b + first * 32 + column;
      block_strip_fp32<true>(some, rows, left, stride, right, c + column, 0, first > 0, depth * 32);
      for (int64_t row = kFp32Rows; row < rows; row += kFp32Rows) {
        block_strip_fp32<false>(some, rows, left, stride, right, c + column, row, first > 0, 0);
      }
    }
  }
}

// y = gelu(c + bias).
void finish_gelu_fp32(Gelu kind, const BlockPlace& at, const float* c, const float* bias,
                      float* y) {
  with_kind(kind, [&](auto k) {
    for (int64_t r = 0; r < at.rows; ++r, c += 32, y += at.stride) {
      for (int64_t i = 0; i < at.columns; i += kWidth) {
        const int64_t left = at.columns - i;
        const bool whole = left >= kWidth;
        const Vec b = whole ? load(bias + i) : load_part(bias + i, left);
        const Vec value = gelu<decltype(k)::value>(load(c + i) + b);
        whole ? store(y + i, value) : store_part(y + i, value, left);
      }
    }
  });
}

}  // namespace
}  // namespace opencloc::kernels
