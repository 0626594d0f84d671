#include "opencloc/kernels/gemm/gemm_bf16.h"

#include <algorithm>

#include "opencloc/kernels/gemm/row_panels.h"
#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {

PackedWeight::PackedWeight(int64_t depth, int64_t columns)
    : depth_(depth), columns_(columns), packed_(packed_elements(columns, depth)) {}

PackedWeight PackedWeight::for_forward(const float* weight, int64_t out, int64_t in) {
  PackedWeight packed(in, out);
  const KernelTable& table = kernel_table();
  const int64_t panel_tiles = 2 * blocks_of_32(in);
  parallel_ranges(blocks_of_32(out), 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      bf16* to = packed.packed_.data() + i * panel_tiles * kTileElements;
      table.pack_rows({weight + i * 32 * in, false, std::min<int64_t>(32, out - i * 32), in, in},
                      to);
      for (int64_t t = 0; t < panel_tiles; ++t) table.transpose_tile(to + t * kTileElements);
    }
  });
  return packed;
}

PackedWeight PackedWeight::for_backward(const float* weight, int64_t out, int64_t in) {
  PackedWeight packed(out, in);
  const KernelTable& table = kernel_table();
  const int64_t panel = 2 * blocks_of_32(out) * kTileElements;
  parallel_ranges(blocks_of_32(in), 8, [&](int64_t begin, int64_t end) {
    const int64_t columns = std::min(in, end * 32) - begin * 32;
    table.pack_columns({weight + begin * 32, false, columns, out, in}, TileSide::kRight, nullptr,
                       packed.packed_.data() + begin * panel);
  });
  return packed;
}

void linear_bf16(const MatrixView& x, const PackedWeight& b, const float* bias, float* y) {
  const KernelTable& table = kernel_table();
  const int64_t columns = b.columns();
  for_row_panels(x.rows, [&](int64_t first, int64_t rows, PanelScratch& scratch) {
    const bf16* a = pack_panel(table, x, first, rows, scratch.input);
    multiply_panel(table, a, rows, b,
                   [&](const float* c, int64_t row, int64_t column, BlockPlace at) {
                     at.stride = columns;
                     table.finish_bias(at, c, bias == nullptr ? nullptr : bias + column,
                                       y + (first + row) * columns + column);
                   });
  });
}

}  // namespace opencloc::kernels
