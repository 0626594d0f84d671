// How products are cut into panels of rows, one a thread at a time, whose operands stay in the
// second-level cache. Private to opencloc/kernels.
#pragma once

#include <algorithm>
#include <cstdint>

#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/gemm/gemm_bf16.h"
#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {

struct PanelScratch {
  AlignedBuffer<bf16> input, hidden;        // left panels
  AlignedBuffer<float> block{2 * 32 * 32};  // two blocks of C, used in turn
};

// Rows at a time: a multiple of 32.
constexpr int64_t kPanelRows = 256;

// Rows one thread takes at once: as many as it can, since each panel reads the whole weight; fewer
// where threads would be idle.
inline int64_t panel_rows(int64_t rows) {
  const int threads = thread_count();
  int64_t panel = kPanelRows;
  while (threads > 1 && panel > 32 && rows < 3 * panel * threads) panel /= 2;
  return panel;
}

// body(first_row, rows, scratch) for panels of at most kPanelRows, a multiple of 32 but for the
// last. `body` may use table.block() and block_int8().
template <class Scratch = PanelScratch, class Body>
void for_row_panels(int64_t rows, const Body& body) {
  const KernelTable& table = kernel_table();
  const int64_t panel = panel_rows(rows);
  parallel_items((rows + panel - 1) / panel, [&](int64_t i) {
    thread_local Scratch scratch;
    table.begin_blocks();
    body(i * panel, std::min(panel, rows - i * panel), scratch);
    table.end_blocks();
  });
}

// Rows [first, first + rows) of x as left panels.
inline const bf16* pack_panel(const KernelTable& table, const MatrixView& x, int64_t first,
                              int64_t rows, AlignedBuffer<bf16>& buffer) {
  const int64_t panel = blocks_of_32(x.columns) * 2 * kTileElements;
  bf16* packed = buffer.ensure(packed_elements(rows, x.columns));
  const int64_t element = x.is_bf16 ? sizeof(bf16) : sizeof(float);
  for (int64_t row = 0; row < rows; row += 32) {
    const char* data = static_cast<const char*>(x.data) + (first + row) * x.stride * element;
    table.pack_rows({data, x.is_bf16, std::min<int64_t>(32, rows - row), x.columns, x.stride},
                    packed + row / 32 * panel);
  }
  return packed;
}

// A product of one panel of rows: C [rows, columns], and the bytes of 32 packed columns of B.
struct PanelProduct {
  int64_t rows = 0, columns = 0, panel_bytes = 0;
};

// multiply(row, column, c) and then finish(c, row, column, place) for every 32 x 32 block c;
// place.stride is left to `finish`. One block's finish runs while the next one is multiplied: the
// tile unit works beside the vector units. Blocks go along the rows, so that what `finish` reads
// and writes is one stretch of memory a row, as far as B's columns stay in the second-level cache.
template <class Sum, class Multiply, class Finish>
void for_blocks(const PanelProduct& product, AlignedBuffer<Sum>& blocks, const Multiply& multiply,
                const Finish& finish) {
  constexpr int64_t kCachedBytes = 512 * 1024;  // of B
  const int64_t rows = product.rows, columns = product.columns;
  const int64_t strip =
      std::max<int64_t>(1, kCachedBytes / std::max<int64_t>(1, product.panel_bytes)) * 32;
  Sum *current = blocks.data(), *previous = current + 32 * 32;
  int64_t previous_row = -1, previous_column = 0;
  const auto finish_previous = [&] {
    if (previous_row < 0) return;
    finish(previous, previous_row, previous_column,
           BlockPlace{std::min<int64_t>(32, rows - previous_row),
                      std::min<int64_t>(32, columns - previous_column), 0});
  };
  for (int64_t first = 0; first < columns; first += strip) {
    for (int64_t row = 0; row < rows; row += 32) {
      const int64_t end = std::min(first + strip, columns);
      for (int64_t column = first; column < end; column += 32) {
        multiply(row, column, current);
        finish_previous();
        std::swap(current, previous);
        previous_row = row;
        previous_column = column;
      }
    }
  }
  finish_previous();
}

// The blocks of left panels a [rows, depth] times b.
template <class Finish>
void multiply_panel(const KernelTable& table, const bf16* a, int64_t rows, const PackedWeight& b,
                    AlignedBuffer<float>& blocks, const Finish& finish) {
  const int64_t depth_blocks = blocks_of_32(b.depth()), panel = depth_blocks * 2 * kTileElements;
  const auto multiply = [&](int64_t row, int64_t column, float* c) {
    table.block_rows(depth_blocks, std::min<int64_t>(32, rows - row), a + row / 32 * panel,
                     b.panel(column / 32), c);
  };
  for_blocks({rows, b.columns(), panel * int64_t{sizeof(bf16)}}, blocks, multiply, finish);
}

}  // namespace opencloc::kernels
