// The products of a linear layer with operands rounded to bf16 (nearest even) and sums in F32.
// Threaded; every result is the same for any number of threads, and the operands are rounded alike
// on every instruction set.
#pragma once

#include <cstdint>

#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/gemm/packed_bf16.h"

namespace opencloc::kernels {

// A row-major matrix in memory, F32 or bf16.
struct MatrixView {
  const void* data = nullptr;
  bool is_bf16 = false;
  int64_t rows = 0, columns = 0;
  int64_t stride = 0;  // elements between rows
};
inline MatrixView view(const float* data, int64_t rows, int64_t columns) {
  return {data, false, rows, columns, columns};
}
inline MatrixView view(const bf16* data, int64_t rows, int64_t columns) {
  return {data, true, rows, columns, columns};
}

// A weight rounded and laid out for the right side of products. Read-only once made: any number of
// threads may use it.
class PackedWeight {
 public:
  // weight [O, I] for x W^T: depth I, columns O.
  static PackedWeight for_forward(const float* weight, int64_t out, int64_t in);
  // weight [O, I] for dy W: depth O, columns I.
  static PackedWeight for_backward(const float* weight, int64_t out, int64_t in);

  int64_t depth() const { return depth_; }
  int64_t columns() const { return columns_; }
  // The panel of columns [32 i, 32 i + 32).
  const bf16* panel(int64_t i) const {
    return packed_.data() + i * blocks_of_32(depth_) * 2 * kTileElements;
  }

 private:
  PackedWeight(int64_t depth, int64_t columns);
  int64_t depth_ = 0, columns_ = 0;
  AlignedBuffer<bf16> packed_;
};

// y [rows, columns] = x [rows, depth] B + bias [columns] (null: none).
void linear_bf16(const MatrixView& x, const PackedWeight& b, const float* bias, float* y);

// dw [O, I] = dy [rows, O]^T x [rows, I]; dbias [O] = column sums of dy (null: not wanted).
void weight_gradient_bf16(const MatrixView& dy, const MatrixView& x, float* dw, float* dbias);

}  // namespace opencloc::kernels
