#include "opencloc/kernels/gemm/gemm_int8.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "opencloc/kernels/gemm/row_panels.h"
#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {
namespace {

// Rows of F32 as left panels, with what they are scaled by.
struct QuantizedRows {
  AlignedBuffer<uint8_t> packed;
  AlignedBuffer<float> scale, offset;
};
struct Int8Scratch {
  QuantizedRows input, hidden;
  AlignedBuffer<float> hidden_values;
};

void quantize_panel(const KernelTable& table, const float* x, int64_t rows, int64_t depth,
                    QuantizedRows& to) {
  const int64_t blocks = blocks_of_32(rows), panel = int8_panel_bytes(depth);
  uint8_t* packed = to.packed.ensure(blocks * panel);
  float *scale = to.scale.ensure(blocks * 32), *offset = to.offset.ensure(blocks * 32);
  parallel_items(blocks, [&](int64_t i) {
    const int64_t row = i * 32;
    table.quantize_rows(std::min<int64_t>(32, rows - row), depth, x + row * depth,
                        packed + i * panel, scale + row, offset + row);
  });
}

// finish(c, row, column, place, scales) for every block of a [rows, depth] times b.
template <class Finish>
void multiply_int8(const KernelTable& table, const QuantizedRows& a, int64_t rows,
                   const PackedInt8& b, const float* bias, const Finish& finish) {
  const int64_t steps = steps_of_64(b.depth()), panel = int8_panel_bytes(b.depth());
  for_blocks<int32_t>(
      {rows, b.columns(), panel},
      [&](int64_t row, int64_t column, int32_t* c) {
        table.block_int8(steps, std::min<int64_t>(32, rows - row),
                         a.packed.data() + row / 32 * panel, b.panel(column / 32), c);
      },
      [&](const int32_t* c, int64_t row, int64_t column, BlockPlace at) {
        finish(c, row, column, at,
               Int8Scales{a.scale.data() + row, a.offset.data() + row, b.scale() + column,
                          b.column_sum() + column, bias == nullptr ? nullptr : bias + column});
      });
}

}  // namespace

void quantize_weight(const float* w, int64_t out, int64_t in, int8_t* values, float* scale) {
  for (int64_t o = 0; o < out; ++o, w += in, values += in) {
    float largest = 0;
    for (int64_t i = 0; i < in; ++i) largest = std::max(largest, std::abs(w[i]));
    scale[o] = largest / 127.0f;
    for (int64_t i = 0; i < in; ++i) {
      const float q = scale[o] == 0 ? 0.0f : std::nearbyint(w[i] / scale[o]);
      values[i] = static_cast<int8_t>(std::clamp(q, -127.0f, 127.0f));
    }
  }
}

PackedInt8::PackedInt8(const int8_t* values, const float* scale, int64_t out, int64_t in)
    : depth_(in),
      columns_(out),
      packed_(blocks_of_32(out) * int8_panel_bytes(in)),
      scale_(out),
      column_sum_(out) {
  const KernelTable& table = kernel_table();
  const int64_t tiles = 2 * steps_of_64(in);
  parallel_ranges(blocks_of_32(out), 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int8_t* to = packed_.data() + i * tiles * kTileBytes;
      std::fill_n(to, tiles * kTileBytes, int8_t{0});
      for (int64_t r = 0; r < std::min<int64_t>(32, out - i * 32); ++r) {
        const int8_t* row = values + (i * 32 + r) * in;
        int64_t sum = 0;
        for (int64_t k = 0; k < in; ++k) sum += row[k];
        scale_.data()[i * 32 + r] = scale[i * 32 + r];
        column_sum_.data()[i * 32 + r] = scale[i * 32 + r] * static_cast<float>(sum);
        for (int64_t k = 0; k < in; k += 64) {
          std::memcpy(to + (k / 64 * 2 + r / 16) * kTileBytes + r % 16 * 64, row + k,
                      static_cast<size_t>(std::min<int64_t>(64, in - k)));
        }
      }
      for (int64_t t = 0; t < tiles; ++t) {
        table.transpose_tile(reinterpret_cast<bf16*>(to + t * kTileBytes));
      }
    }
  });
}

void linear_int8(const float* x, int64_t rows, const PackedInt8& weight, const float* bias,
                 float* y) {
  const KernelTable& table = kernel_table();
  const int64_t depth = weight.depth(), columns = weight.columns();
  for_row_panels<Int8Scratch>(rows, [&](int64_t first, int64_t count, Int8Scratch& scratch) {
    quantize_panel(table, x + first * depth, count, depth, scratch.input);
    multiply_int8(table, scratch.input, count, weight, bias,
                  [&](const int32_t* c, int64_t row, int64_t column, BlockPlace at,
                      const Int8Scales& scales) {
                    at.stride = columns;
                    table.finish_int8(at, c, scales, y + (first + row) * columns + column);
                  });
  });
}

void mlp_int8(const MlpInt8& mlp, const float* x, int64_t rows, float* y) {
  const KernelTable& table = kernel_table();
  const int64_t depth = mlp.fc->depth(), width = mlp.fc->columns(), columns = mlp.proj->columns();
  for_row_panels<Int8Scratch>(rows, [&](int64_t first, int64_t count, Int8Scratch& scratch) {
    quantize_panel(table, x + first * depth, count, depth, scratch.input);
    float* hidden = scratch.hidden_values.ensure(count * width);
    multiply_int8(table, scratch.input, count, *mlp.fc, mlp.fc_bias,
                  [&](const int32_t* c, int64_t row, int64_t column, BlockPlace at,
                      const Int8Scales& scales) {
                    at.stride = width;
                    table.finish_int8_gelu(mlp.gelu, at, c, scales, hidden + row * width + column);
                  });
    quantize_panel(table, hidden, count, width, scratch.hidden);
    multiply_int8(table, scratch.hidden, count, *mlp.proj, mlp.proj_bias,
                  [&](const int32_t* c, int64_t row, int64_t column, BlockPlace at,
                      const Int8Scales& scales) {
                    at.stride = columns;
                    table.finish_int8(at, c, scales, y + (first + row) * columns + column);
                  });
  });
}

}  // namespace opencloc::kernels
