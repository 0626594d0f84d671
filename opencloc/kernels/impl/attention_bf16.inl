// One (batch, head) pair of attention with bf16 products of packed blocks. Rows of queries are
// taken 32 at a time: their scores against every key, their softmax and what follows stay in the
// cache.
#pragma once

#include "opencloc/kernels/impl/attention.inl"
#include "opencloc/kernels/impl/bf16.inl"
#include "opencloc/kernels/impl/block.inl"

namespace opencloc::kernels {
namespace {

constexpr int64_t kStep = 2 * kTile;  // elements of a panel a depth step of 32

// Rows [first, first + 32) of x [tokens, width] as a left panel.
void pack_query_panel(const float* x, int64_t first, int64_t tokens, int64_t width, int64_t stride,
                      bf16* packed) {
  const int64_t rows = tokens - first < 32 ? tokens - first : 32;
  pack_rows({x + first * stride, false, rows, width, stride}, packed);
}
// The transpose of x [tokens, width] as right panels: columns are tokens, depth is width.
void pack_transposed(const float* x, int64_t tokens, int64_t width, int64_t stride, bf16* packed) {
  const int64_t panel = blocks_of_32(width) * kStep;
  for (int64_t first = 0; first < tokens; first += 32, packed += panel) {
    pack_query_panel(x, first, tokens, width, stride, packed);
    for (int64_t t = 0; t < panel; t += kTile) transpose_tile(packed + t);
  }
}
// x [tokens, width] as panels whose depth is tokens.
void pack_by_token(const float* x, int64_t tokens, int64_t width, int64_t stride, TileSide side,
                   bf16* packed) {
  pack_columns({x, false, width, tokens, stride}, side, nullptr, packed);
}

// Blocks of scores of one panel of queries: [key panel][32][32].
void score_panel(int64_t key_panels, int64_t width_steps, const bf16* queries, const bf16* keys,
                 float* scores) {
  for (int64_t p = 0; p < key_panels; ++p) {
    block(width_steps, queries, keys + p * width_steps * kStep, scores + p * 1024, false);
  }
}

OPENCLOC_INLINE float* score_at(float* scores, int64_t row, int64_t column) {
  return scores + column / 32 * 1024 + row * 32 + column % 32;
}
OPENCLOC_INLINE void put_left(bf16* panel, int64_t row, int64_t column, HalfVec v) {
  store_half(panel + column / 32 * kStep + row / 16 * kTile + row % 16 * 32 + column % 32, v);
}

// Row `row` of the scores becomes e^(scale (score - highest)) in the left panel p, zeros from
// `seen` to `columns`. Returns the sum and the highest score.
struct Softmax {
  float sum, highest;
};
OPENCLOC_INLINE Softmax softmax_row_bf16(int64_t row, int64_t seen, int64_t columns, float scale,
                                         float* scores, bf16* p) {
  for (int64_t j = seen; j < padded(seen); ++j) *score_at(scores, row, j) = -__builtin_inff();
  Vec high = splat(-__builtin_inff());
  for (int64_t j = 0; j < seen; j += kWidth) high = max(load(score_at(scores, row, j)), high);
  const float highest = largest(high);
  Vec total{};
  int64_t j = 0;
  for (; j < seen; j += kWidth) {
    const Vec e = coarse_exp((load(score_at(scores, row, j)) - highest) * scale);
    total += e;
    put_left(p, row, j, to_bf16(e));
  }
  for (; j < columns; j += kWidth) put_left(p, row, j, HalfVec{});
  return {sum(total), highest};
}

// out [rows, width of the block] = factors[row] * c.
OPENCLOC_INLINE void write_rows(int64_t rows, int64_t columns, const float* c, const float* factors,
                                float* out, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r, c += 32, out += stride) {
    const float factor = factors == nullptr ? 1.0f : factors[r];
    int64_t i = 0;
    for (; i + kWidth <= columns; i += kWidth) store(out + i, load(c + i) * factor);
    for (; i < columns; ++i) out[i] = c[i] * factor;
  }
}

int64_t at_most_32(int64_t n) { return n < 32 ? n : 32; }

int64_t attention_scratch_floats_bf16(const AttentionShape& shape) {
  const int64_t q = blocks_of_32(shape.q_tokens), k = blocks_of_32(shape.k_tokens);
  const int64_t d = blocks_of_32(shape.head_width);
  const int64_t halves = 3 * k * d + 2 * q * d + 2 * d + 2 * k * q + k;  // of kStep each
  return (halves * kStep) / 2 + 2 * k * 1024 + 2 * 1024;
}

void attention_forward_pair_bf16(const AttentionShape& shape, const float* q, const float* k,
                                 const float* v, float* out, float* log_sum_exp, float* scratch) {
  const int64_t tokens = shape.k_tokens, d = shape.head_width;
  const int64_t key_panels = blocks_of_32(tokens), width_steps = blocks_of_32(d);
  const float scale = attention_scale(d);
  float* scores = scratch;                                     // [key panels][32][32]
  float* out_block = scores + key_panels * 1024;               // [32][32]
  bf16* k_right = reinterpret_cast<bf16*>(out_block + 1024);   // columns: keys, depth: width
  bf16* v_right = k_right + key_panels * width_steps * kStep;  // columns: width, depth: keys
  bf16* q_left = v_right + key_panels * width_steps * kStep;
  bf16* p_left = q_left + width_steps * kStep;
  pack_transposed(k, tokens, d, shape.kv_stride, k_right);
  pack_by_token(v, tokens, d, shape.kv_stride, TileSide::kRight, v_right);
  for (int64_t first = 0; first < shape.q_tokens; first += 32) {
    const int64_t rows = at_most_32(shape.q_tokens - first);
    const int64_t reach = shape.causal ? blocks_of_32(first + rows) : key_panels;
    pack_query_panel(q, first, shape.q_tokens, d, shape.q_stride, q_left);
    for (int64_t p = 0; p < reach; ++p) {
      block_rows(width_steps, rows, q_left, k_right + p * width_steps * kStep, scores + p * 1024);
    }
    float factors[32];
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t seen = shape.causal ? first + r + 1 : tokens;
      const Softmax s = softmax_row_bf16(r, seen, reach * 32, scale, scores, p_left);
      factors[r] = 1.0f / s.sum;
      log_sum_exp[first + r] = s.highest * scale + __builtin_logf(s.sum);
    }
    for (int64_t w = 0; w < width_steps; ++w) {
      block_rows(reach, rows, p_left, v_right + w * key_panels * kStep, out_block);
      write_rows(rows, at_most_32(d - w * 32), out_block, factors,
                 out + first * shape.out_stride() + w * 32, shape.out_stride());
    }
  }
}

// One pair of rows of P and dS, from scores s and dp: dS as left tiles for dQ, and both as right
// tiles (pairs of rows) for dV and dK.
struct RowPair {
  int64_t row;      // even, within its panel of 32
  int64_t seen[2];  // keys each row sees; 0 outside the queries
  float log_sum_exp[2], delta[2];
};
OPENCLOC_INLINE void backward_rows(const RowPair& at, int64_t columns, int64_t panel_step,
                                   float scale, float* s, float* dp, bf16* ds_left, bf16* p_right,
                                   bf16* ds_right) {
  IntVec lane;
  for (int i = 0; i < kWidth; ++i) lane[i] = i;
  for (int64_t j = 0; j < columns; j += kWidth) {
    HalfVec p[2], ds[2];
    for (int half = 0; half < 2; ++half) {
      const int64_t row = at.row + half;
      const Vec e = coarse_exp(load(score_at(s, row, j)) * scale - at.log_sum_exp[half]);
      const IntVec visible = lane < static_cast<int32_t>(at.seen[half] - j);
      const Vec probability = select(visible, e, Vec{});
      const Vec gradient = probability * ((load(score_at(dp, row, j)) - at.delta[half]) * scale);
      p[half] = to_bf16(probability);
      ds[half] = to_bf16(select(visible, gradient, Vec{}));
      put_left(ds_left, row, j, ds[half]);
    }
    const int64_t to = j / 32 * panel_step + j % 32 / 16 * kTile + at.row / 2 * 32 + j % 16 * 2;
    const UintVec p_pairs = interleave(p[0], p[1]), ds_pairs = interleave(ds[0], ds[1]);
    __builtin_memcpy(p_right + to, &p_pairs, sizeof p_pairs);
    __builtin_memcpy(ds_right + to, &ds_pairs, sizeof ds_pairs);
  }
}

// gradient [tokens, width] = (left [width, queries] right [queries, tokens])^T, of dK and dV.
void write_key_gradient(const AttentionShape& shape, const bf16* left, const bf16* right, float* c,
                        float* turned, float* gradient) {
  const int64_t query_steps = blocks_of_32(shape.q_tokens), d = shape.head_width;
  for (int64_t first = 0; first < shape.k_tokens; first += 32) {
    const int64_t skip = shape.causal ? first / 32 : 0;  // queries before these keys see none
    const bf16* columns = right + (first / 32 * query_steps + skip) * kStep;
    for (int64_t w = 0; w < blocks_of_32(d); ++w) {
      block(query_steps - skip, left + (w * query_steps + skip) * kStep, columns, c, false);
      for (int quarter = 0; quarter < 4; ++quarter) {
        const int row = quarter / 2 * 16, column = quarter % 2 * 16;
        transpose_words<32, 32>(reinterpret_cast<const uint32_t*>(c) + row * 32 + column,
                                reinterpret_cast<uint32_t*>(turned) + column * 32 + row);
      }
      write_rows(at_most_32(shape.k_tokens - first), at_most_32(d - w * 32), turned, nullptr,
                 gradient + first * shape.kv_stride + w * 32, shape.kv_stride);
    }
  }
}

// As attention_backward_pair. dV^T = dO^T P and dK^T = Q^T dS, so that P and dS, the large ones,
// are never transposed.
void attention_backward_pair_bf16(const AttentionShape& shape, const float* q, const float* k,
                                  const float* v, const float* out, const float* log_sum_exp,
                                  const AttentionGradient& gradient, float* dq, float* dk,
                                  float* dv, float* scratch) {
  const float* dout = gradient.out;
  const int64_t tokens = shape.k_tokens, queries = shape.q_tokens, d = shape.head_width;
  const int64_t key_panels = blocks_of_32(tokens), query_steps = blocks_of_32(queries);
  const int64_t width_steps = blocks_of_32(d), stride = shape.out_stride();
  const float scale = attention_scale(d);
  float* scores = scratch;                                           // [key panels][32][32]
  float* dp = scores + key_panels * 1024;                            // [key panels][32][32]
  float* c = dp + key_panels * 1024;                                 // [32][32]
  float* turned = c + 1024;                                          // [32][32]
  bf16* k_right = reinterpret_cast<bf16*>(turned + 1024);            // columns: keys, depth: width
  bf16* v_right = k_right + key_panels * width_steps * kStep;        // the same
  bf16* k_by_token = v_right + key_panels * width_steps * kStep;     // columns: width, depth: keys
  bf16* q_by_token = k_by_token + key_panels * width_steps * kStep;  // rows: width, depth: queries
  bf16* dout_by_token = q_by_token + query_steps * width_steps * kStep;  // the same
  bf16* q_left = dout_by_token + query_steps * width_steps * kStep;
  bf16* dout_left = q_left + width_steps * kStep;
  bf16* p_right = dout_left + width_steps * kStep;              // columns: keys, depth: queries
  bf16* ds_right = p_right + key_panels * query_steps * kStep;  // the same
  bf16* ds_left = ds_right + key_panels * query_steps * kStep;  // one panel of rows, depth: keys
  pack_transposed(k, tokens, d, shape.kv_stride, k_right);
  pack_transposed(v, tokens, d, shape.kv_stride, v_right);
  pack_by_token(k, tokens, d, shape.kv_stride, TileSide::kRight, k_by_token);
  pack_by_token(q, queries, d, shape.q_stride, TileSide::kLeft, q_by_token);
  pack_by_token(dout, queries, d, stride, TileSide::kLeft, dout_by_token);
  for (int64_t first = 0; first < queries; first += 32) {
    const int64_t rows = at_most_32(queries - first);
    const int64_t reach = shape.causal ? blocks_of_32(first + rows) : key_panels;
    pack_query_panel(q, first, queries, d, shape.q_stride, q_left);
    pack_query_panel(dout, first, queries, d, stride, dout_left);
    score_panel(reach, width_steps, q_left, k_right, scores);
    score_panel(reach, width_steps, dout_left, v_right, dp);
    for (int64_t r = 0; r < 32; r += 2) {
      RowPair pair{r, {0, 0}, {0, 0}, {0, 0}};
      for (int64_t half = 0; half < 2 && r + half < rows; ++half) {
        const int64_t row = first + r + half;
        pair.seen[half] = shape.causal ? row + 1 : tokens;
        pair.log_sum_exp[half] = log_sum_exp[row];
        Vec total{};
        int64_t i = 0;
        for (; i + kWidth <= d; i += kWidth) {
          total += load(out + row * stride + i) * load(dout + row * stride + i);
        }
        float delta = sum(total);
        for (; i < d; ++i) delta += out[row * stride + i] * dout[row * stride + i];
        pair.delta[half] = delta - of_log_sum_exp(gradient, row);
      }
      backward_rows(pair, reach * 32, query_steps * kStep, scale, scores, dp, ds_left,
                    p_right + first / 32 * kStep, ds_right + first / 32 * kStep);
    }
    for (int64_t w = 0; w < width_steps; ++w) {
      block(reach, ds_left, k_by_token + w * key_panels * kStep, c, false);
      write_rows(rows, at_most_32(d - w * 32), c, nullptr, dq + first * shape.q_stride + w * 32,
                 shape.q_stride);
    }
  }
  write_key_gradient(shape, dout_by_token, p_right, c, turned, dv);
  write_key_gradient(shape, q_by_token, ds_right, c, turned, dk);
}

}  // namespace
}  // namespace opencloc::kernels
