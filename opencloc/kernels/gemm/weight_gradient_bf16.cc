#include <algorithm>
#include <vector>

#include "opencloc/kernels/gemm/gemm_bf16.h"
#include "opencloc/kernels/gemm/row_panels.h"
#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {
namespace {

// C [left, right] = A^T B over all rows. The left operand costs a transpose of every tile, so it is
// the narrower matrix. Rows are taken slab by slab: all threads pack a slab of both operands and
// multiply it, each an area of C at a time.
constexpr int64_t kChunkRows = 320;  // a panel is 20 KiB, two fit the first-level cache
// A slab stays in the second-level cache, or, where C does not anyway and is read again with each
// slab, in the last one.
constexpr int64_t kSmallSlab = 768 << 10, kLargeSlab = 8 << 20, kSmallResult = 3 << 20;
constexpr int64_t kAreaBlocks = 12;  // an area's side: 12 x 12 blocks of 4 KiB stay in the cache
constexpr int64_t kPackBlocks = 8;   // of one task

int64_t parts_of(int64_t n, int64_t step) { return (n + step - 1) / step; }

const void* element_at(const MatrixView& m, int64_t row, int64_t column) {
  const int64_t element = m.is_bf16 ? sizeof(bf16) : sizeof(float);
  return static_cast<const char*>(m.data) + (row * m.stride + column) * element;
}

// One operand's slab: of every chunk of rows, the panels of its columns.
struct PackedSide {
  const MatrixView* from;
  TileSide side;
  float* sums;  // [chunks, columns]: of the columns, or null
  AlignedBuffer<bf16>* packed;

  int64_t blocks() const { return blocks_of_32(from->columns); }
  static int64_t panel(int64_t rows) { return blocks_of_32(rows) * 2 * kTileElements; }
  int64_t chunk_elements() const { return blocks() * panel(kChunkRows); }
};

struct Slab {
  int64_t begin, chunks;  // the first of `chunks` chunks of rows
};
int64_t rows_of(const MatrixView& m, int64_t chunk) {
  return std::min(kChunkRows, m.rows - chunk * kChunkRows);
}

void pack(const KernelTable& table, const PackedSide& side, const Slab& slab, int64_t piece) {
  const MatrixView& from = *side.from;
  const int64_t chunk = piece % slab.chunks, block = piece / slab.chunks * kPackBlocks;
  const int64_t number = slab.begin + chunk, rows = rows_of(from, number), column = block * 32;
  const int64_t count = std::min(kPackBlocks * 32, from.columns - column);
  table.pack_columns(
      {element_at(from, number * kChunkRows, column), from.is_bf16, count, rows, from.stride},
      side.side, side.sums == nullptr ? nullptr : side.sums + number * from.columns + column,
      side.packed->data() + chunk * side.chunk_elements() + block * PackedSide::panel(rows));
}

// Blocks [i0, i1) x [j0, j1) of C, each [32, 32], in c [left blocks, right blocks].
struct Area {
  int64_t i0, i1, j0, j1;
};
void multiply(const KernelTable& table, const PackedSide& left, const PackedSide& right,
              const Slab& slab, const Area& area, float* c) {
  table.begin_blocks();
  for (int64_t chunk = 0; chunk < slab.chunks; ++chunk) {
    const int64_t rows = rows_of(*left.from, slab.begin + chunk), panel = PackedSide::panel(rows);
    const bf16* a = left.packed->data() + chunk * left.chunk_elements();
    const bf16* b = right.packed->data() + chunk * right.chunk_elements();
    for (int64_t j = area.j0; j < area.j1; ++j) {
      for (int64_t i = area.i0; i < area.i1; ++i) {
        table.block(blocks_of_32(rows), a + i * panel, b + j * panel,
                    c + (i * right.blocks() + j) * 32 * 32, slab.begin + chunk > 0);
      }
    }
  }
  table.end_blocks();
}

// An area of C written to dw [left, right], or [right, left] where it is transposed.
void write_area(const Area& area, int64_t left, int64_t right, const float* c, bool transposed,
                float* dw) {
  for (int64_t i0 = area.i0 * 32; i0 < std::min(left, area.i1 * 32); i0 += 32) {
    for (int64_t j0 = area.j0 * 32; j0 < std::min(right, area.j1 * 32); j0 += 32) {
      const float* block = c + (i0 / 32 * blocks_of_32(right) + j0 / 32) * 32 * 32;
      const int64_t rows = std::min<int64_t>(32, left - i0);
      const int64_t columns = std::min<int64_t>(32, right - j0);
      if (transposed) {  // along what lies together in dw
        float* to = dw + j0 * left + i0;
        for (int64_t j = 0; j < columns; ++j, to += left) {
          for (int64_t i = 0; i < rows; ++i) to[i] = block[i * 32 + j];
        }
      } else {
        float* to = dw + i0 * right + j0;
        for (int64_t i = 0; i < rows; ++i, to += right) std::copy_n(block + i * 32, columns, to);
      }
    }
  }
}

}  // namespace

void weight_gradient_bf16(const MatrixView& dy, const MatrixView& x, float* dw, float* dbias) {
  if (dy.rows == 0) {
    std::fill_n(dw, dy.columns * x.columns, 0.0f);
    if (dbias != nullptr) std::fill_n(dbias, dy.columns, 0.0f);
    return;
  }
  const KernelTable& table = kernel_table();
  thread_local AlignedBuffer<bf16> packed[2];
  thread_local AlignedBuffer<float> blocks;
  const bool dy_left = dy.columns <= x.columns;
  const int64_t chunks = parts_of(dy.rows, kChunkRows);
  std::vector<float> sums(static_cast<size_t>(dbias == nullptr ? 0 : chunks * dy.columns));
  float* of_dy = dbias == nullptr ? nullptr : sums.data();
  const PackedSide left{dy_left ? &dy : &x, TileSide::kLeft, dy_left ? of_dy : nullptr, &packed[0]};
  const PackedSide right{dy_left ? &x : &dy, TileSide::kRight, dy_left ? nullptr : of_dy,
                         &packed[1]};
  const int64_t chunk_bytes =
      (left.chunk_elements() + right.chunk_elements()) * int64_t{sizeof(bf16)};
  const int64_t result = left.blocks() * right.blocks() * 32 * 32;
  const int64_t slab_bytes =
      result * int64_t{sizeof(float)} <= kSmallResult ? kSmallSlab : kLargeSlab;
  const int64_t slab_chunks =
      std::clamp<int64_t>(slab_bytes / std::max<int64_t>(1, chunk_bytes), 1, chunks);
  packed[0].ensure(slab_chunks * left.chunk_elements());
  packed[1].ensure(slab_chunks * right.chunk_elements());
  float* c = blocks.ensure(result);

  // Which thread has which area changes nothing: a block's sum has one order.
  const BlockGrid grid(left.blocks(), right.blocks(), thread_count());
  const int64_t left_areas = std::max(grid.rows, parts_of(left.blocks(), kAreaBlocks));
  const int64_t right_areas = std::max(grid.columns, parts_of(right.blocks(), kAreaBlocks));
  const auto area_at = [&](int64_t n) {
    const int64_t i = n / right_areas, j = n % right_areas;
    return Area{left.blocks() * i / left_areas, left.blocks() * (i + 1) / left_areas,
                right.blocks() * j / right_areas, right.blocks() * (j + 1) / right_areas};
  };
  for (Slab slab{0, 0}; slab.begin < chunks; slab.begin += slab_chunks) {
    slab.chunks = std::min(slab_chunks, chunks - slab.begin);
    const int64_t left_pieces = parts_of(left.blocks(), kPackBlocks) * slab.chunks;
    const int64_t right_pieces = parts_of(right.blocks(), kPackBlocks) * slab.chunks;
    parallel_items(left_pieces + right_pieces, [&](int64_t piece) {
      piece < left_pieces ? pack(table, left, slab, piece)
                          : pack(table, right, slab, piece - left_pieces);
    });
    const bool last = slab.begin + slab.chunks == chunks;
    parallel_items(left_areas * right_areas, [&](int64_t n) {
      multiply(table, left, right, slab, area_at(n), c);
      if (last) write_area(area_at(n), left.from->columns, right.from->columns, c, !dy_left, dw);
    });
  }
  if (dbias != nullptr) table.column_sums(chunks, dy.columns, sums.data(), dbias);
}

}  // namespace opencloc::kernels
