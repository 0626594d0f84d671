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
  AlignedBuffer<bf16> input, hidden;  // left panels
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

// Whether all threads should multiply one panel together, each by its part of the columns. With few
// rows this reads each part of the weight once; panels of few rows would each read all of it.
inline bool share_panels(int64_t rows) {
  const int64_t threads = thread_count();
  return threads > 1 && rows < 3 * (kPanelRows / 2) * threads;
}

// body(first_row, rows, scratch) for panels of rows, a multiple of 32 but for the last: each on one
// thread, or each by all threads (share_panels()). `body` multiplies with multiply_panel() and the
// like, and calls no table.block() by itself.
template <class Scratch = PanelScratch, class Body>
void for_row_panels(int64_t rows, const Body& body) {
  constexpr int64_t kSharedRows = 1024;
  if (share_panels(rows)) {
    thread_local Scratch scratch;
    for (int64_t first = 0; first < rows; first += kSharedRows) {
      body(first, std::min(kSharedRows, rows - first), scratch);
    }
    return;
  }
  // Of about equal size, and as many for each thread.
  const int64_t blocks = (rows + 31) / 32, threads = thread_count(), largest = kPanelRows / 32;
  const int64_t panels = (blocks + largest * threads - 1) / (largest * threads) * threads;
  parallel_items(panels, [&](int64_t i) {
    const int64_t begin = blocks * i / panels * 32;
    const int64_t end = std::min(rows, blocks * (i + 1) / panels * 32);
    thread_local Scratch scratch;
    if (begin < end) body(begin, end - begin, scratch);
  });
}

// Rows [first, first + rows) of x as left panels.
inline const bf16* pack_panel(const KernelTable& table, const MatrixView& x, int64_t first,
                              int64_t rows, AlignedBuffer<bf16>& buffer) {
  const int64_t panel = blocks_of_32(x.columns) * 2 * kTileElements;
  bf16* packed = buffer.ensure(packed_elements(rows, x.columns));
  const int64_t element = x.is_bf16 ? sizeof(bf16) : sizeof(float);
  parallel_items(blocks_of_32(rows), [&](int64_t i) {
    const int64_t row = i * 32;
    const char* data = static_cast<const char*>(x.data) + (first + row) * x.stride * element;
    table.pack_rows({data, x.is_bf16, std::min<int64_t>(32, rows - row), x.columns, x.stride},
                    packed + i * panel);
  });
  return packed;
}

// A product of one panel of rows: C [rows, columns], and the bytes of 32 packed columns of B.
struct PanelProduct {
  int64_t rows = 0, columns = 0, panel_bytes = 0;
  bool rows_in_turn = false;  // finish() adds rows up: all of a column on one thread
};

// In how many parts threads cut a grid of blocks: such that the slowest has the least to do, with
// few parts of the rows, since each of them reads all of B.
struct BlockGrid {
  BlockGrid(int64_t row_blocks, int64_t column_blocks, int64_t threads) {
    const auto part = [](int64_t all, int64_t parts) { return (all + parts - 1) / parts; };
    double least = 0;
    for (int64_t r = 1; r <= std::min(row_blocks, threads); ++r) {
      for (int64_t c = 1; c <= std::min(column_blocks, 2 * threads); ++c) {
        const auto cost = static_cast<double>(part(r * c, threads) * part(row_blocks, r) *
                                              part(column_blocks, c));
        // Among about equals the finer one: a thread may be held up by other programs.
        if (least > 0 && cost > least * (r == rows ? 1.0 : 0.95)) continue;
        least = cost;
        rows = r;
        columns = c;
      }
    }
  }
  int64_t rows = 1, columns = 1;
};

// multiply(row, column, c) and then finish(c, row, column, place) for every 32 x 32 block c of the
// rows [row_begin, row_end) and columns [column_begin, column_end); place.stride is left to
// `finish`. One block's finish runs while the next one is multiplied: the tile unit works beside
// the vector units. Blocks go along the rows, so that what `finish` reads and writes is one stretch
// of memory a row, as far as B's columns stay in the second-level cache.
struct BlockRange {
  int64_t row_begin = 0, row_end = 0, column_begin = 0, column_end = 0;
};
template <class Sum, class Multiply, class Finish>
void for_blocks_of(const BlockRange& range, const PanelProduct& product, const Multiply& multiply,
                   const Finish& finish) {
  constexpr int64_t kCachedBytes = 512 * 1024;          // of B
  thread_local AlignedBuffer<Sum> blocks(2 * 32 * 32);  // used in turn
  const int64_t strip =
      std::max<int64_t>(1, kCachedBytes / std::max<int64_t>(1, product.panel_bytes)) * 32;
  Sum *current = blocks.data(), *previous = current + 32 * 32;
  int64_t previous_row = -1, previous_column = 0;
  const auto finish_previous = [&] {
    if (previous_row < 0) return;
    finish(previous, previous_row, previous_column,
           BlockPlace{std::min<int64_t>(32, product.rows - previous_row),
                      std::min<int64_t>(32, product.columns - previous_column), 0});
  };
  const KernelTable& table = kernel_table();
  table.begin_blocks();
  for (int64_t first = range.column_begin; first < range.column_end; first += strip) {
    for (int64_t row = range.row_begin; row < range.row_end; row += 32) {
      const int64_t end = std::min(first + strip, range.column_end);
      for (int64_t column = first; column < end; column += 32) {
        multiply(row, column, current);
        finish_previous();
        std::swap(current, previous);
        previous_row = row;
        previous_column = column;
      }
    }
  }
  table.end_blocks();
  finish_previous();
}

// The same for all blocks, by as many threads as this one may use.
template <class Sum, class Multiply, class Finish>
void for_blocks(const PanelProduct& product, const Multiply& multiply, const Finish& finish) {
  const int64_t rows = blocks_of_32(product.rows), columns = blocks_of_32(product.columns);
  const BlockGrid grid(product.rows_in_turn ? 1 : rows, columns, thread_count());
  parallel_items(grid.rows * grid.columns, [&](int64_t i) {
    const int64_t r = i % grid.rows, c = i / grid.rows;
    for_blocks_of<Sum>({std::min(product.rows, rows * r / grid.rows * 32),
                        std::min(product.rows, rows * (r + 1) / grid.rows * 32),
                        std::min(product.columns, columns * c / grid.columns * 32),
                        std::min(product.columns, columns * (c + 1) / grid.columns * 32)},
                       product, multiply, finish);
  });
}

// The blocks of left panels a [rows, depth] times b.
template <class Finish>
void multiply_panel(const KernelTable& table, const bf16* a, int64_t rows, const PackedWeight& b,
                    const Finish& finish, bool rows_in_turn = false) {
  const int64_t depth_blocks = blocks_of_32(b.depth()), panel = depth_blocks * 2 * kTileElements;
  const auto multiply = [&](int64_t row, int64_t column, float* c) {
    table.block_rows(depth_blocks, std::min<int64_t>(32, rows - row), a + row / 32 * panel,
                     b.panel(column / 32), c);
  };
  for_blocks<float>({rows, b.columns(), panel * int64_t{sizeof(bf16)}, rows_in_turn}, multiply,
                    finish);
}

}  // namespace opencloc::kernels
