// The block product on AMX tile registers.
#pragma once

#include <immintrin.h>

#define OPENCLOC_TILE_REGISTERS  // bf16.inl leaves block() to this file

#include "opencloc/kernels/kernel_table.h"

namespace opencloc::kernels {
namespace {

// Eight tiles of 16 rows x 64 bytes: palette 1 by the architecture's definition, not read from
// CPUID.
struct __attribute__((aligned(64), packed)) TileConfig {
  uint8_t palette = 1, start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64, "the instruction reads 64 bytes");

void begin_blocks() {
  static const TileConfig config;
  _tile_loadconfig(&config);
}
// Without live tiles the system need not save them when it switches threads.
void end_blocks() { _tile_release(); }

void block(int64_t depth_blocks, const bf16* a, const bf16* b, float* c, bool accumulate) {
  constexpr int64_t kRowBytes = 32 * sizeof(float);
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
  for (int64_t d = 0; d < depth_blocks; ++d) {
    _tile_loadd(6, b, 64);
    _tile_loadd(4, a, 64);
    _tile_loadd(7, b + kTileElements, 64);
    _tile_loadd(5, a + kTileElements, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    a += 2 * kTileElements;
    b += 2 * kTileElements;
  }
  _tile_stored(0, c, kRowBytes);
  _tile_stored(1, c + 16, kRowBytes);
  _tile_stored(2, c + 16 * 32, kRowBytes);
  _tile_stored(3, c + 16 * 32 + 16, kRowBytes);
}

}  // namespace
}  // namespace opencloc::kernels
