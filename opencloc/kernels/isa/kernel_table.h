// The single-thread loops behind the kernels, one set an instruction set (table_*.cc). Private to
// opencloc/kernels: callers use gelu.h, layer_norm.h, attention.h, optimizer.h, ...
#pragma once

#include <cstdint>

#include "opencloc/kernels/attention/attention.h"
#include "opencloc/kernels/gemm/packed_bf16.h"
#include "opencloc/kernels/gemm/packed_int8.h"
#include "opencloc/kernels/loss/similarity.h"
#include "opencloc/kernels/pointwise/gelu.h"
#include "opencloc/kernels/pointwise/optimizer.h"
#include "opencloc/kernels/scan/scan.h"

namespace opencloc::kernels {

struct KernelTable {
  // n elements.
  void (*gelu_forward)(Gelu kind, int64_t n, const float* x, float* y);
  void (*gelu_backward)(Gelu kind, int64_t n, const float* x, const float* dy, float* dx);
  // z += bias (may be null) in place, y = gelu(z). [rows, width].
  void (*bias_gelu_forward)(Gelu kind, int64_t rows, int64_t width, const float* bias, float* z,
                            float* y);
  void (*add_bias)(int64_t rows, int64_t width, const float* bias, float* y);
  // sums[c] = sum over rows of x[r, c].
  void (*column_sums)(int64_t rows, int64_t width, const float* x, float* sums);

  void (*layer_norm_forward)(int64_t rows, int64_t width, const float* x, const float* weight,
                             const float* bias, float epsilon, float* y, float* mean, float* rstd);
  // dweight, dbias [width] are set to the sums over these rows.
  void (*layer_norm_backward)(int64_t rows, int64_t width, const float* x, const float* mean,
                              const float* rstd, const float* weight, const float* dy,
                              const float* beside, float* dx, float* dweight, float* dbias);

  // One (batch, head) pair; pointers already at that pair. Scratch sizes in floats from
  // attention_scratch().
  void (*attention_forward)(const AttentionShape& shape, const float* q, const float* k,
                            const float* v, float* out, float* log_sum_exp, float* scratch);
  void (*attention_backward)(const AttentionShape& shape, const float* q, const float* k,
                             const float* v, const float* out, const float* log_sum_exp,
                             const AttentionGradient& gradient, float* dq, float* dk, float* dv,
                             float* scratch);
  int64_t (*attention_scratch)(const AttentionShape& shape);
  // The same with bf16 products; within begin_blocks() and end_blocks().
  void (*attention_forward_bf16)(const AttentionShape& shape, const float* q, const float* k,
                                 const float* v, float* out, float* log_sum_exp, float* scratch);
  void (*attention_backward_bf16)(const AttentionShape& shape, const float* q, const float* k,
                                  const float* v, const float* out, const float* log_sum_exp,
                                  const AttentionGradient& gradient, float* dq, float* dk,
                                  float* dv, float* scratch);
  int64_t (*attention_scratch_bf16)(const AttentionShape& shape);

  void (*adamw)(int64_t n, float* value, const float* grad, float* exp_avg, float* exp_avg_sq,
                const AdamWCoefficients& c);
  double (*sum_of_squares)(int64_t n, const float* x);

  // The rows and columns of a tile added to running sums; leaves similarities in place of the
  // cosines. Returns the pairs of distinct texts above the threshold.
  int64_t (*similarity_sums)(const SimilarityTile& tile, const RunningSums& sums);
  // Leaves the gradient of the cosines in their place; returns that of log(scale).
  double (*similarity_gradient)(const SimilarityTile& tile, const TileGradient& gradient);

  // ---- bf16 products; formats in packed_bf16.h ----
  // Rows (at most 32) of source, depth along each row -> one left panel.
  void (*pack_rows)(const PackSource& source, bf16* packed);
  // Columns of source, depth down the rows -> all its panels. sums (may be null) [side] has the
  // column sums added to it.
  void (*pack_columns)(const PackSource& source, TileSide side, float* sums, bf16* packed);
  void (*transpose_tile)(bf16* tile);
  // Around a thread's use of block(): the tile registers are set up and released.
  void (*begin_blocks)();
  void (*end_blocks)();
  // c [32, 32] (+)= left panel a times right panel b, both of depth 32 * depth_blocks.
  void (*block)(int64_t depth_blocks, const bf16* a, const bf16* b, float* c, bool accumulate);
  // The same without what was in c, and only its first `rows` rows; the others may get anything.
  void (*block_rows)(int64_t depth_blocks, int64_t rows, const bf16* a, const bf16* b, float* c);
  // On a finished block c: y = c + bias (may be null), F32.
  void (*finish_bias)(const BlockPlace& at, const float* c, const float* bias, float* y);
  // z = bf16(c + bias) (may be null: not kept); tiles [2][16][32] = bf16(gelu(z)), zeros outside.
  void (*finish_gelu)(Gelu kind, const BlockPlace& at, const float* c, const float* bias, bf16* z,
                      bf16* tiles);
  // dz = tiles = bf16(c gelu'(z)), h = bf16(gelu(z)); z, dz and h have one layout.
  void (*finish_gelu_backward)(Gelu kind, const BlockPlace& at, const float* c, const bf16* z,
                               bf16* dz, bf16* h, bf16* tiles);
  // z as in finish_gelu; sums [columns] += gelu(z) of every row.
  void (*finish_gelu_sums)(Gelu kind, const BlockPlace& at, const float* c, const float* bias,
                           bf16* z, float* sums);
  // dz [rows, width] = bf16(gradient [width] gelu'(z)).
  void (*gelu_backward_rows)(Gelu kind, int64_t rows, int64_t width, const bf16* z,
                             const float* gradient, bf16* dz);

  // ---- F32 products; format in linear_fp32.h ----
  // As block_rows(), of rows a [rows, depth] that are `stride` apart and a panel b [depth, 32].
  void (*block_rows_fp32)(int64_t depth, int64_t rows, const float* a, int64_t stride,
                          const float* b, float* c);
  // On a finished block c: y = gelu(c + bias).
  void (*finish_gelu_fp32)(Gelu kind, const BlockPlace& at, const float* c, const float* bias,
                           float* y);

  // ---- int8 products; formats in packed_int8.h ----
  // x [rows (at most 32), depth] -> one left panel; scale, offset [32], 0 from `rows` on.
  void (*quantize_rows)(int64_t rows, int64_t depth, const float* x, uint8_t* packed, float* scale,
                        float* offset);
  // As block_rows(), both of depth 64 * steps, within begin_blocks() and end_blocks(). The same
  // integers on every instruction set.
  void (*block_int8)(int64_t steps, int64_t rows, const uint8_t* a, const int8_t* b, int32_t* c);
  // On a finished block c: y = what the sums stand for, and gelu of it.
  void (*finish_int8)(const BlockPlace& at, const int32_t* c, const Int8Scales& scales, float* y);
  void (*finish_int8_gelu)(Gelu kind, const BlockPlace& at, const int32_t* c,
                           const Int8Scales& scales, float* y);

  // scores [queries, score_stride] = scale times the sum of products of a stored row with a query,
  // whose own scale is left to the caller. The same bits on every instruction set.
  void (*scan_rows)(const ScanTile& tile, float* scores);
  // The bins [count] of scores [count] in a ScoreHistogram; `per_unit` = bins per unit of them.
  // Returns the greatest, -inf where none is a number. The same bits on every instruction set.
  float (*scan_bins)(const float* scores, int64_t count, float per_unit, int32_t* bins);
};

const KernelTable& scalar_table();
const KernelTable& avx2_table();
const KernelTable& avx512_table();
const KernelTable& avx512_vnni_table();  // where AVX-512 has VNNI but no bf16
const KernelTable& avx512_bf16_table();
const KernelTable& amx_table();

// Of active_isa().
const KernelTable& kernel_table();

}  // namespace opencloc::kernels
