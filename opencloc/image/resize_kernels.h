// The two passes of a resize on plain pointers: a portable version and those for x86, chosen at run
// time. All give the same bits: sums are taken modulo 2^32, whatever their order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "opencloc/image/resize_weights.h"

namespace opencloc::detail {

// Rows of interleaved RGB bytes.
struct RowsIn {
  const uint8_t* data;  // first row
  ptrdiff_t stride;     // bytes from row to row
  int rows;
  int width;           // pixels that belong to a row
  const uint8_t* end;  // no byte at or past here may be read
};

// Bytes past 3 * width that a kernel may overwrite at the end of each row of `RowsOut`.
constexpr ptrdiff_t kRowSlack = 32;

struct RowsOut {
  uint8_t* data;
  ptrdiff_t stride;  // >= 3 * outputs + kRowSlack for the horizontal pass
};

// Row by row: out [rows, outputs, 3] from in [rows, width, 3].
using HorizontalPass = void (*)(const RowsIn& in, const AxisWeights& weights, const RowsOut& out);
// Column by column: out [outputs, width, 3]; in.data is the row that first[i] counts from.
// Writes nothing past 3 * width of a row.
using VerticalPass = HorizontalPass;

void horizontal_pass_portable(const RowsIn& in, const AxisWeights& weights, const RowsOut& out);
void vertical_pass_portable(const RowsIn& in, const AxisWeights& weights, const RowsOut& out);

#if defined(__x86_64__)
#define OPENCLOC_RESIZE_X86 1
void horizontal_pass_avx2(const RowsIn& in, const AxisWeights& weights, const RowsOut& out);
void vertical_pass_avx2(const RowsIn& in, const AxisWeights& weights, const RowsOut& out);
// AVX-512 with VNNI; twice as fast as AVX2.
bool has_vnni();
void horizontal_pass_vnni(const RowsIn& in, const AxisWeights& weights, const RowsOut& out);
#endif

}  // namespace opencloc::detail
