#include "opencloc/kernels/gemm/mean_hidden_bf16.h"

#include "opencloc/kernels/gemm/row_panels.h"

namespace opencloc::kernels {

void mean_hidden_bf16(const HiddenLayer& layer, int64_t groups, int64_t rows, const float* x,
                      bf16* z, float* h) {
  const KernelTable& table = kernel_table();
  const int64_t width = layer.fc->depth(), hidden = layer.fc->columns();
  const int64_t together = std::max<int64_t>(1, panel_rows(groups * rows) / rows);  // groups
  // Adds the rows of a finished block, from `row` of x on, to the sums of their groups.
  const auto add_rows = [&](const float* c, int64_t row, int64_t column, BlockPlace at) {
    const int64_t end = row + at.rows;
    at.stride = hidden;
    for (int64_t next; row < end; c += (next - row) * 32, row = next) {
      next = std::min(end, (row / rows + 1) * rows);
      at.rows = next - row;
      table.finish_gelu_sums(layer.gelu, at, c, layer.bias + column,
                             z == nullptr ? nullptr : z + row * hidden + column,
                             h + row / rows * hidden + column);
    }
  };
  parallel_items((groups + together - 1) / together, [&](int64_t item) {
    thread_local PanelScratch scratch;
    const int64_t group = item * together, count = std::min(together, groups - group);
    const int64_t begin = group * rows, end = begin + count * rows;
    std::fill_n(h + group * hidden, count * hidden, 0.0f);
    for (int64_t first = begin; first < end; first += kPanelRows) {
      const int64_t part = std::min(kPanelRows, end - first);
      const bf16* a = pack_panel(table, view(x, groups * rows, width), first, part, scratch.input);
      multiply_panel(
          table, a, part, *layer.fc,
          [&](const float* c, int64_t row, int64_t column, const BlockPlace& at) {
            add_rows(c, first + row, column, at);
          },
          /*rows_in_turn=*/true);
    }
    const float share = 1.0f / static_cast<float>(rows);
    for (int64_t i = 0; i < count * hidden; ++i) h[group * hidden + i] *= share;
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
