// AMX tile registers, on which tile_block.inl runs.
#pragma once

#include <immintrin.h>

#define OPENCLOC_TILE_REGISTERS  // block.inl and block_int8.inl leave their functions to this

#include "opencloc/kernels/isa/kernel_table.h"

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

}  // namespace
}  // namespace opencloc::kernels

#include "opencloc/kernels/impl/tile_block.inl"
