// One (batch, head) pair of attention, forward and backward. Everything is copied into dense padded
// scratch first, so that the products below need no edge cases.
#pragma once

#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/isa/vec.h"

namespace opencloc::kernels {
namespace {

constexpr int64_t kQueryBlock =
    72;  // rows of the score matrix alive at a time; a multiple of 6 and 4

OPENCLOC_INLINE int64_t padded(int64_t n) { return (n + kWidth - 1) / kWidth * kWidth; }

// C [kRows, kVecs * kWidth] (+)= A B; A element (i, p) at a[i * a_row + p * a_col].
template <int kRows, int kVecs>
OPENCLOC_INLINE void tile(int64_t k, const float* a, int64_t a_row, int64_t a_col, const float* b,
                          int64_t ldb, float* c, int64_t ldc, bool accumulate) {
  Vec sums[kRows][kVecs];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVecs; ++j) {
      sums[i][j] = accumulate ? load(c + i * ldc + j * kWidth) : Vec{};
    }
  }
  for (int64_t p = 0; p < k; ++p) {
    Vec row[kVecs];
    for (int j = 0; j < kVecs; ++j) row[j] = load(b + p * ldb + j * kWidth);
    for (int i = 0; i < kRows; ++i) {
      const Vec factor = splat(a[i * a_row + p * a_col]);
      for (int j = 0; j < kVecs; ++j) sums[i][j] += factor * row[j];
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVecs; ++j) store(c + i * ldc + j * kWidth, sums[i][j]);
  }
}

struct Operand {
  const float* data;
  int64_t row, col;  // steps between rows and between columns
};

template <int kVecs>
void column_strip(int64_t m, int64_t k, Operand a, const float* b, int64_t ldb, float* c,
                  int64_t ldc, bool accumulate) {
  int64_t i = 0;
  for (; i + kTileRows <= m; i += kTileRows) {
    tile<kTileRows, kVecs>(k, a.data + i * a.row, a.row, a.col, b, ldb, c + i * ldc, ldc,
                           accumulate);
  }
  for (; i < m; ++i) {
    tile<1, kVecs>(k, a.data + i * a.row, a.row, a.col, b, ldb, c + i * ldc, ldc, accumulate);
  }
}

// C [m, n] (+)= A [m, k] B [k, n], n a multiple of kWidth.
void product(int64_t m, int64_t n, int64_t k, Operand a, const float* b, int64_t ldb, float* c,
             int64_t ldc, bool accumulate) {
  int64_t j = 0;
  for (; j + kTileVecs * kWidth <= n; j += kTileVecs * kWidth) {
    column_strip<kTileVecs>(m, k, a, b + j, ldb, c + j, ldc, accumulate);
  }
  for (; j < n; j += kWidth) column_strip<1>(m, k, a, b + j, ldb, c + j, ldc, accumulate);
}

// to [rows, padded(width)] = factor * from [rows, width], zeros beside.
void copy_padded(int64_t rows, int64_t width, const float* from, int64_t stride, float factor,
                 float* to) {
  const int64_t padded_width = padded(width);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < width; ++i) to[r * padded_width + i] = factor * from[r * stride + i];
    for (int64_t i = width; i < padded_width; ++i) to[r * padded_width + i] = 0;
  }
}
// to [width, padded(rows)] = from [rows, width] transposed, zeros beside.
void copy_transposed(int64_t rows, int64_t width, const float* from, int64_t stride, float* to) {
  const int64_t padded_rows = padded(rows);
  for (int64_t i = 0; i < width; ++i) {
    for (int64_t r = rows; r < padded_rows; ++r) to[i * padded_rows + r] = 0;
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < width; ++i) to[i * padded_rows + r] = from[r * stride + i];
  }
}
void copy_out(int64_t rows, int64_t width, float factor, const float* from, float* to,
              int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < width; ++i) to[r * stride + i] = factor * from[r * padded(width) + i];
  }
}

// s [n] -> softmax over the first `seen`, zeros after. Returns log-sum-exp.
OPENCLOC_INLINE float softmax_row(int64_t n, int64_t seen, float* s) {
  for (int64_t j = seen; j < n; ++j) s[j] = -__builtin_inff();
  Vec high = splat(-__builtin_inff());
  for (int64_t j = 0; j < n; j += kWidth) high = max(load(s + j), high);
  const float top = largest(high);
  Vec total{};
  for (int64_t j = 0; j < n; j += kWidth) {
    const Vec e = exp(load(s + j) - top);
    store(s + j, e);
    total += e;
  }
  const float denominator = sum(total);
  const float inverse = 1.0f / denominator;
  for (int64_t j = 0; j < n; j += kWidth) store(s + j, load(s + j) * inverse);
  return top + __builtin_logf(denominator);
}

OPENCLOC_INLINE float attention_scale(int64_t head_width) {
  return 1.0f / __builtin_sqrtf(static_cast<float>(head_width));
}

OPENCLOC_INLINE float of_log_sum_exp(const AttentionGradient& gradient, int64_t row) {
  return gradient.log_sum_exp == nullptr ? 0.0f : gradient.log_sum_exp[row];
}

int64_t attention_scratch_floats(const AttentionShape& shape) {
  const int64_t keys = padded(shape.k_tokens), width = padded(shape.head_width);
  return 2 * width * keys + 3 * shape.k_tokens * width + kQueryBlock * (2 * keys + 3 * width);
}

void attention_forward_pair(const AttentionShape& shape, const float* q, const float* k,
                            const float* v, float* out, float* log_sum_exp, float* scratch) {
  const int64_t tokens = shape.k_tokens, d = shape.head_width;
  const int64_t keys = padded(tokens), width = padded(d);
  float* k_t = scratch;                       // [d, keys]
  float* v_dense = k_t + width * keys;        // [tokens, width]
  float* q_block = v_dense + tokens * width;  // [rows, width], scaled
  float* out_block = q_block + kQueryBlock * width;
  float* scores = out_block + kQueryBlock * width;  // [rows, keys]
  copy_transposed(tokens, d, k, shape.kv_stride, k_t);
  copy_padded(tokens, d, v, shape.kv_stride, 1.0f, v_dense);
  for (int64_t first = 0; first < shape.q_tokens; first += kQueryBlock) {
    const int64_t left = shape.q_tokens - first, rows = left < kQueryBlock ? left : kQueryBlock;
    const int64_t reach = shape.causal ? first + rows : tokens;  // keys any of these rows sees
    copy_padded(rows, d, q + first * shape.q_stride, shape.q_stride, attention_scale(d), q_block);
    product(rows, padded(reach), d, {q_block, width, 1}, k_t, keys, scores, keys, false);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t seen = shape.causal ? first + r + 1 : tokens;
      log_sum_exp[first + r] = softmax_row(padded(reach), seen, scores + r * keys);
    }
    product(rows, width, reach, {scores, keys, 1}, v_dense, width, out_block, width, false);
    copy_out(rows, d, 1.0f, out_block, out + first * shape.out_stride(), shape.out_stride());
  }
}

// P = softmax(S): dV = P^T dO, dP = dO V^T, dS = P (dP - rowsum(dO O) + dlse), dQ = dS K,
// dK = dS^T Q.
void attention_backward_pair(const AttentionShape& shape, const float* q, const float* k,
                             const float* v, const float* out, const float* log_sum_exp,
                             const AttentionGradient& gradient, float* dq, float* dk, float* dv,
                             float* scratch) {
  const int64_t tokens = shape.k_tokens, d = shape.head_width;
  const int64_t keys = padded(tokens), width = padded(d);
  float* k_t = scratch;                 // [d, keys]
  float* v_t = k_t + width * keys;      // [d, keys]
  float* k_dense = v_t + width * keys;  // [tokens, width]
  float* dk_dense = k_dense + tokens * width;
  float* dv_dense = dk_dense + tokens * width;
  float* q_block = dv_dense + tokens * width;  // [rows, width], scaled
  float* dout_block = q_block + kQueryBlock * width;
  float* dq_block = dout_block + kQueryBlock * width;
  float* p = dq_block + kQueryBlock * width;  // [rows, keys]
  float* ds = p + kQueryBlock * keys;         // [rows, keys]
  copy_transposed(tokens, d, k, shape.kv_stride, k_t);
  copy_transposed(tokens, d, v, shape.kv_stride, v_t);
  copy_padded(tokens, d, k, shape.kv_stride, 1.0f, k_dense);
  for (int64_t i = 0; i < 2 * tokens * width; ++i) dk_dense[i] = 0;  // and dv_dense
  for (int64_t first = 0; first < shape.q_tokens; first += kQueryBlock) {
    const int64_t left = shape.q_tokens - first, rows = left < kQueryBlock ? left : kQueryBlock;
    const int64_t reach = shape.causal ? first + rows : tokens, stride = shape.out_stride();
    copy_padded(rows, d, q + first * shape.q_stride, shape.q_stride, attention_scale(d), q_block);
    copy_padded(rows, d, gradient.out + first * stride, stride, 1.0f, dout_block);
    product(rows, padded(reach), d, {q_block, width, 1}, k_t, keys, p, keys, false);
    product(rows, padded(reach), d, {dout_block, width, 1}, v_t, keys, ds, keys, false);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t seen = shape.causal ? first + r + 1 : tokens;
      const float* o = out + (first + r) * stride;
      float delta = -of_log_sum_exp(gradient, first + r);
      for (int64_t i = 0; i < d; ++i) delta += o[i] * dout_block[r * width + i];
      float *p_row = p + r * keys, *ds_row = ds + r * keys;
      for (int64_t j = seen; j < padded(reach); ++j) p_row[j] = -__builtin_inff();
      for (int64_t j = 0; j < padded(reach); j += kWidth) {
        const Vec e = exp(load(p_row + j) - log_sum_exp[first + r]);
        store(p_row + j, e);
        store(ds_row + j, e * (load(ds_row + j) - delta));
      }
    }
    product(reach, width, rows, {p, 1, keys}, dout_block, width, dv_dense, width, true);
    product(reach, width, rows, {ds, 1, keys}, q_block, width, dk_dense, width, true);
    product(rows, width, reach, {ds, keys, 1}, k_dense, width, dq_block, width, false);
    copy_out(rows, d, attention_scale(d), dq_block, dq + first * shape.q_stride, shape.q_stride);
  }
  copy_out(tokens, d, 1.0f, dk_dense, dk, shape.kv_stride);
  copy_out(tokens, d, 1.0f, dv_dense, dv, shape.kv_stride);
}

}  // namespace
}  // namespace opencloc::kernels
