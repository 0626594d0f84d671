#include "opencloc/kernels/pointwise/merge.h"

#include <algorithm>
#include <cmath>

#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {
namespace {

constexpr int64_t kElements = 16384;  // that pay for waking a thread

int64_t grain(int64_t width) {
  return std::max<int64_t>(1, kElements / std::max<int64_t>(1, width));
}

// The share of a in exp(a) + exp(b).
float share(float a, float b) { return 1.0F / (1.0F + std::exp(b - a)); }

void merge_row(int64_t width, float of_a, const float* __restrict x, const float* __restrict a,
               const float* __restrict b, float* __restrict y) {
  const float of_b = 1.0F - of_a;
  for (int64_t i = 0; i < width; ++i) y[i] = x[i] + of_a * a[i] + of_b * b[i];
}

// Returns dy . (a - b).
float merge_row_backward(int64_t width, float of_a, const float* __restrict a,
                         const float* __restrict b, const float* __restrict dy,
                         float* __restrict da, float* __restrict db) {
  constexpr int64_t kSums = 8;  // side by side, in a fixed order: vectors without -ffast-math
  const float of_b = 1.0F - of_a;
  float sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= width; i += kSums) {
    for (int64_t j = 0; j < kSums; ++j) {
      const float g = dy[i + j];
      sums[j] += g * (a[i + j] - b[i + j]);
      da[i + j] = of_a * g;
      db[i + j] = of_b * g;
    }
  }
  for (; i < width; ++i) {
    sums[0] += dy[i] * (a[i] - b[i]);
    da[i] = of_a * dy[i];
    db[i] = of_b * dy[i];
  }
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

constexpr int64_t kColumns = 128;  // of one piece of a mean: one group is shared out too

// x, mean: the first of `columns` <= kColumns. Rows are summed sixteen at a time and these sums in
// turn, so that rounding grows slowly with their number.
void mean_of_columns(int64_t rows, int64_t width, int64_t columns, const float* x, float* mean) {
  constexpr int64_t kRows = 16;
  float sum[kColumns] = {}, part[kColumns];
  for (int64_t begin = 0; begin < rows; begin += kRows) {
    std::fill_n(part, kColumns, 0.0F);
    for (int64_t r = begin; r < std::min(rows, begin + kRows); ++r) {
      const float* __restrict row = x + r * width;
      for (int64_t i = 0; i < columns; ++i) part[i] += row[i];
    }
    for (int64_t i = 0; i < columns; ++i) sum[i] += part[i];
  }
  const float of_one = 1.0F / static_cast<float>(rows);
  for (int64_t i = 0; i < columns; ++i) mean[i] = sum[i] * of_one;
}

}  // namespace

void merge_forward(int64_t rows, int64_t width, const RepeatedRows& x, const PartialRows& a,
                   const PartialRows& b, float* y) {
  parallel_ranges(rows, grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float of_a = share(*a.log_sum_exp.row(r, 1), *b.log_sum_exp.row(r, 1));
      merge_row(width, of_a, x.row(r, width), a.out.row(r, width), b.out.row(r, width),
                y + r * width);
    }
  });
}

void merge_backward(int64_t rows, int64_t width, const PartialRows& a, const PartialRows& b,
                    const float* dy, float* da, float* db, float* da_log_sum_exp) {
  parallel_ranges(rows, grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float of_a = share(*a.log_sum_exp.row(r, 1), *b.log_sum_exp.row(r, 1));
      const float product =
          merge_row_backward(width, of_a, a.out.row(r, width), b.out.row(r, width), dy + r * width,
                             da + r * width, db + r * width);
      da_log_sum_exp[r] = of_a * (1.0F - of_a) * product;
    }
  });
}

void mean_of_rows(int64_t groups, int64_t rows, int64_t width, const float* x, float* mean) {
  const int64_t strips = (width + kColumns - 1) / kColumns;
  const int64_t pieces_that_pay =
      std::max<int64_t>(1, kElements / std::max<int64_t>(1, rows * kColumns));
  parallel_ranges(groups * strips, pieces_that_pay, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t group = piece / strips, first = piece % strips * kColumns;
      mean_of_columns(rows, width, std::min(kColumns, width - first),
                      x + group * rows * width + first, mean + group * width + first);
    }
  });
}

}  // namespace opencloc::kernels
