#include "opencloc/kernels/gemm/linear_fp32.h"

#include <algorithm>

#include "opencloc/kernels/gemm/row_panels.h"
#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {
namespace {

struct Fp32Scratch {
  AlignedBuffer<float> hidden;
};

// finish(c, row, column, place) for every block of rows a [rows, depth] times b.
template <class Finish>
void multiply_fp32(const KernelTable& table, const float* a, int64_t stride, int64_t rows,
                   const PackedFp32& b, const Finish& finish) {
  const int64_t panel_bytes = b.depth() * 32 * int64_t{sizeof(float)};
  const auto multiply = [&](int64_t row, int64_t column, float* c) {
    table.block_rows_fp32(b.depth(), std::min<int64_t>(32, rows - row), a + row * stride, stride,
                          b.panel(column / 32), c);
  };
  for_blocks<float>({rows, b.columns(), panel_bytes}, multiply, finish);
}

}  // namespace

PackedFp32::PackedFp32(const float* weight, int64_t out, int64_t in)
    : depth_(in), columns_(out), packed_(blocks_of_32(out) * 32 * in) {
  parallel_ranges(blocks_of_32(out), 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* to = packed_.data() + i * 32 * in;
      const int64_t columns = std::min<int64_t>(32, out - i * 32);
      if (columns < 32) std::fill_n(to, 32 * in, 0.0f);
      const float* from = weight + i * 32 * in;
      for (int64_t d = 0; d < in; ++d) {
        for (int64_t c = 0; c < columns; ++c) to[d * 32 + c] = from[c * in + d];
      }
    }
  });
}

void linear_fp32(const float* x, int64_t rows, const PackedFp32& weight, const float* bias,
                 float* y) {
  const KernelTable& table = kernel_table();
  const int64_t depth = weight.depth(), columns = weight.columns();
  for_row_panels<Fp32Scratch>(rows, [&](int64_t first, int64_t count, Fp32Scratch&) {
    multiply_fp32(table, x + first * depth, depth, count, weight,
                  [&](const float* c, int64_t row, int64_t column, BlockPlace at) {
                    at.stride = columns;
                    table.finish_bias(at, c, bias == nullptr ? nullptr : bias + column,
                                      y + (first + row) * columns + column);
                  });
  });
}

void mlp_fp32(const MlpFp32& mlp, const float* x, int64_t rows, float* y) {
  const KernelTable& table = kernel_table();
  const int64_t depth = mlp.fc->depth(), width = mlp.fc->columns(), out = mlp.proj->columns();
  for_row_panels<Fp32Scratch>(rows, [&](int64_t first, int64_t count, Fp32Scratch& scratch) {
    float* hidden = scratch.hidden.ensure(count * width);
    multiply_fp32(table, x + first * depth, depth, count, *mlp.fc,
                  [&](const float* c, int64_t row, int64_t column, BlockPlace at) {
                    at.stride = width;
                    table.finish_gelu_fp32(mlp.gelu, at, c, mlp.fc_bias + column,
                                           hidden + row * width + column);
                  });
    multiply_fp32(table, hidden, width, count, *mlp.proj,
                  [&](const float* c, int64_t row, int64_t column, BlockPlace at) {
                    at.stride = out;
                    table.finish_bias(at, c, mlp.proj_bias + column,
                                      y + (first + row) * out + column);
                  });
  });
}

}  // namespace opencloc::kernels
