#include "opencloc/kernels/mean_hidden_bf16.h"

#include "opencloc/kernels/row_panels.h"

namespace opencloc::kernels {

void mean_hidden_bf16(const HiddenLayer& layer, int64_t groups, int64_t rows, const float* x,
                      bf16* z, float* h) {
  const KernelTable& table = kernel_table();
  const int64_t width = layer.fc->depth(), hidden = layer.fc->columns();
  parallel_items(groups, [&](int64_t group) {
    thread_local PanelScratch scratch;
    float* sums = h + group * hidden;
    std::fill_n(sums, hidden, 0.0f);
    table.begin_blocks();
    for (int64_t start = 0; start < rows; start += kPanelRows) {
      const int64_t first = group * rows + start, count = std::min(kPanelRows, rows - start);
      const bf16* a = pack_panel(table, view(x, groups * rows, width), first, count, scratch.input);
      multiply_panel(table, a, count, *layer.fc, scratch.block,
                     [&](const float* c, int64_t row, int64_t column, BlockPlace at) {
                       at.stride = hidden;
                       bf16* keep = z == nullptr ? nullptr : z + (first + row) * hidden + column;
                       table.finish_gelu_sums(layer.gelu, at, c, layer.bias + column, keep,
                                              sums + column);
                     });
    }
    table.end_blocks();
    const float share = 1.0f / static_cast<float>(rows);
    for (int64_t i = 0; i < hidden; ++i) sums[i] *= share;
  });
}

void mean_hidden_backward_bf16(Gelu kind, const HiddenSize& size, const bf16* z, const float* dh,
                               bf16* dz) {
  const KernelTable& table = kernel_table();
  const float share = 1.0f / static_cast<float>(size.rows);
  parallel_items(size.groups, [&](int64_t group) {
    thread_local AlignedBuffer<float> gradient;
    float* of_row = gradient.ensure(size.width);
    for (int64_t i = 0; i < size.width; ++i) of_row[i] = dh[group * size.width + i] * share;
    const int64_t first = group * size.rows * size.width;
    table.gelu_backward_rows(kind, size.rows, size.width, z + first, of_row, dz + first);
  });
}

}  // namespace opencloc::kernels
