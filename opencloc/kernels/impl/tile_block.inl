// Block products on tile registers: what is done with them, apart from what they are. The includer
// defines _tile_loadd, _tile_zero, _tile_stored, _tile_dpbf16ps and _tile_dpbusd: the processor's,
// or, to test this file without such a processor, plain loops (tests/kernels/tile_block_test.cc).
#pragma once

#include "opencloc/kernels/gemm/packed_bf16.h"
#include "opencloc/kernels/gemm/packed_int8.h"

namespace opencloc::kernels {
namespace {

// Four tiles of c, 32-bit words, summed over `steps` pairs of tiles of a and of b; multiply() adds
// the products of tiles 4, 5 (rows) and 6, 7 (columns) to tiles 0 to 3.
template <class Sum, class Multiply>
inline __attribute__((always_inline)) void block_on_tiles(int64_t steps, const void* left,
                                                          const void* right, Sum* c,
                                                          bool accumulate,
                                                          const Multiply& multiply) {
  static_assert(sizeof(Sum) == 4, "tiles of c hold 32-bit words");
  constexpr int64_t kRowBytes = 32 * sizeof(Sum);
  const char *a = static_cast<const char*>(left), *b = static_cast<const char*>(right);
  if (accumulate) {
    _tile_loadd(0, c, kRowBytes);
    _tile_loadd(1, c + 16, kRowBytes);
    _tile_loadd(2, c + 16 * 32, kRowBytes);
    _tile_loadd(3, c + 16 * 32 + 16, kRowBytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t s = 0; s < steps; ++s) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 64);
    _tile_loadd(7, b + kTileBytes, 64);
    _tile_loadd(5, a + kTileBytes, 64);
    multiply();
    a += 2 * kTileBytes;
    b += 2 * kTileBytes;
  }
  _tile_stored(0, c, kRowBytes);
  _tile_stored(1, c + 16, kRowBytes);
  _tile_stored(2, c + 16 * 32, kRowBytes);
  _tile_stored(3, c + 16 * 32 + 16, kRowBytes);
}

void block(int64_t depth_blocks, const bf16* a, const bf16* b, float* c, bool accumulate) {
  block_on_tiles(depth_blocks, a, b, c, accumulate, [] {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  });
}

// Tiles multiply all 32 rows in the time of a few: reading b takes longer.
void block_rows(int64_t depth_blocks, int64_t, const bf16* a, const bf16* b, float* c) {
  block(depth_blocks, a, b, c, false);
}

void block_int8(int64_t steps, int64_t, const uint8_t* a, const int8_t* b, int32_t* c) {
  block_on_tiles(steps, a, b, c, false, [] {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  });
}

}  // namespace
}  // namespace opencloc::kernels
