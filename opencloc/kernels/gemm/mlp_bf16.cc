#include "opencloc/kernels/gemm/mlp_bf16.h"

#include "opencloc/kernels/gemm/row_panels.h"

namespace opencloc::kernels {
namespace {

// Where block (row, column) of the hidden layer lies as the next product's left panels.
bf16* hidden_tiles(bf16* hidden, int64_t row, int64_t column, int64_t width) {
  return hidden + (row / 32 * blocks_of_32(width) + column / 32) * 2 * kTileElements;
}

}  // namespace

void mlp_forward_bf16(const MlpForward& mlp, int64_t rows, const float* x, bf16* z, float* y) {
  const KernelTable& table = kernel_table();
  const int64_t width = mlp.fc->depth(), hidden = mlp.fc->columns(), out = mlp.proj->columns();
  for_row_panels(rows, [&](int64_t first, int64_t count, PanelScratch& scratch) {
    const bf16* a = pack_panel(table, view(x, rows, width), first, count, scratch.input);
    bf16* h = scratch.hidden.ensure(packed_elements(count, hidden));
    multiply_panel(table, a, count, *mlp.fc,
                   [&](const float* c, int64_t row, int64_t column, BlockPlace at) {
                     at.stride = hidden;
                     bf16* keep = z == nullptr ? nullptr : z + (first + row) * hidden + column;
                     table.finish_gelu(mlp.gelu, at, c, mlp.fc_bias + column, keep,
                                       hidden_tiles(h, row, column, hidden));
                   });
    multiply_panel(table, h, count, *mlp.proj,
                   [&](const float* c, int64_t row, int64_t column, BlockPlace at) {
                     at.stride = out;
                     table.finish_bias(at, c, mlp.proj_bias + column,
                                       y + (first + row) * out + column);
                   });
  });
}

void mlp_backward_bf16(const MlpBackward& mlp, int64_t rows, const float* dy, const bf16* z,
                       bf16* dz, bf16* h, float* dx) {
  const KernelTable& table = kernel_table();
  const int64_t out = mlp.proj->depth(), hidden = mlp.proj->columns(), width = mlp.fc->columns();
  for_row_panels(rows, [&](int64_t first, int64_t count, PanelScratch& scratch) {
    const bf16* a = pack_panel(table, view(dy, rows, out), first, count, scratch.input);
    bf16* dz_tiles = scratch.hidden.ensure(packed_elements(count, hidden));
    multiply_panel(table, a, count, *mlp.proj,
                   [&](const float* c, int64_t row, int64_t column, BlockPlace at) {
                     at.stride = hidden;
                     const int64_t place = (first + row) * hidden + column;
                     table.finish_gelu_backward(mlp.gelu, at, c, z + place, dz + place, h + place,
                                                hidden_tiles(dz_tiles, row, column, hidden));
                   });
    if (dx == nullptr) return;
    multiply_panel(table, dz_tiles, count, *mlp.fc,
                   [&](const float* c, int64_t row, int64_t column, BlockPlace at) {
                     at.stride = width;
                     table.finish_bias(at, c, nullptr, dx + (first + row) * width + column);
                   });
  });
}

}  // namespace opencloc::kernels
