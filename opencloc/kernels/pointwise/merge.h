// Two partial softmaxes as one, and means over rows; F32, threaded, the same result for any number
// of threads.
#pragma once

#include <cstdint>

namespace opencloc::kernels {

// Rows that repeat: row r of all is row r % `rows` of what is stored. So one image's values serve
// all its prompts and no copy is made.
struct RepeatedRows {
  const float* data;
  int64_t rows;  // stored, >= 1
  const float* row(int64_t r, int64_t width) const { return data + r % rows * width; }
};

struct PartialRows {
  RepeatedRows out;          // [rows, width]: the values' mean
  RepeatedRows log_sum_exp;  // [rows], width 1
};

// y [rows, width] = x + share_a a.out + share_b b.out, share_i = exp(lse_i) / (exp(lse_a) +
// exp(lse_b)). No array overlaps y.
void merge_forward(int64_t rows, int64_t width, const RepeatedRows& x, const PartialRows& a,
                   const PartialRows& b, float* y);
// The gradient of x is dy itself. da, db [rows, width]; da_log_sum_exp [rows], which is the
// negative of that of b.
void merge_backward(int64_t rows, int64_t width, const PartialRows& a, const PartialRows& b,
                    const float* dy, float* da, float* db, float* da_log_sum_exp);

// mean [groups, width] over the `rows` rows (>= 1) of x [groups, rows, width].
void mean_of_rows(int64_t groups, int64_t rows, int64_t width, const float* x, float* mean);

}  // namespace opencloc::kernels
