// impl/tile_block.inl on tile registers of plain memory: which tiles are loaded, multiplied and
// stored is tested everywhere, AMX itself only where it is (isa_test.cc says when it was not).
#include <array>
#include <cstring>

#include "numbers.h"
#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/isa/kernel_table.h"

namespace opencloc::kernels {
namespace {

// Eight registers of 16 rows of 64 bytes, as the instructions' definitions have them.
struct Tile {
  std::array<std::array<char, 64>, 16> row;
};
Tile tiles[8];

void tile_load(int t, const void* from, int64_t stride) {
  for (int64_t r = 0; r < 16; ++r) {
    std::memcpy(tiles[t].row[static_cast<size_t>(r)].data(),
                static_cast<const char*>(from) + r * stride, 64);
  }
}
void tile_store(int t, void* to, int64_t stride) {
  for (int64_t r = 0; r < 16; ++r) {
    std::memcpy(static_cast<char*>(to) + r * stride, tiles[t].row[static_cast<size_t>(r)].data(),
                64);
  }
}
template <class T>
T element(int t, size_t row, size_t i) {
  T value;
  std::memcpy(&value, tiles[t].row[row].data() + i * sizeof(T), sizeof(T));
  return value;
}
template <class Sum, class Product>
void tile_multiply(int c, const Product& product) {
  for (size_t m = 0; m < 16; ++m) {
    for (size_t k = 0; k < 16; ++k) {
      for (size_t n = 0; n < 16; ++n) {
        const Sum sum = element<Sum>(c, m, n) + product(m, k, n);
        std::memcpy(tiles[c].row[m].data() + n * 4, &sum, 4);
      }
    }
  }
}
void tile_u8_s8(int c, int a, int b) {
  tile_multiply<int32_t>(c, [&](size_t m, size_t k, size_t n) {
    int32_t sum = 0;
    for (size_t j = 0; j < 4; ++j) {
      sum += element<uint8_t>(a, m, 4 * k + j) * element<int8_t>(b, k, 4 * n + j);
    }
    return sum;
  });
}
void tile_bf16(int c, int a, int b) {
  tile_multiply<float>(c, [&](size_t m, size_t k, size_t n) {
    float sum = 0;
    for (size_t j = 0; j < 2; ++j) {
      sum += from_bf16_reference(element<bf16>(a, m, 2 * k + j)) *
             from_bf16_reference(element<bf16>(b, k, 2 * n + j));
    }
    return sum;
  });
}

}  // namespace
}  // namespace opencloc::kernels

#define _tile_zero(t) std::memset(&tiles[t], 0, sizeof tiles[t])
#define _tile_loadd(t, from, stride) tile_load(t, from, stride)
#define _tile_stored(t, to, stride) tile_store(t, to, stride)
#define _tile_dpbusd(c, a, b) tile_u8_s8(c, a, b)
#define _tile_dpbf16ps(c, a, b) tile_bf16(c, a, b)
#include "opencloc/kernels/impl/tile_block.inl"

namespace opencloc::kernels {
namespace {

TEST(TileBlock, Int8IsWhatEveryTableGives) {
  constexpr int64_t kSteps = 3, kBytes = kSteps * 2 * kTileBytes;
  AlignedBuffer<uint8_t> a(kBytes);
  AlignedBuffer<int8_t> b(kBytes);
  for (int64_t i = 0; i < kBytes; ++i) {
    a.data()[i] = static_cast<uint8_t>(i * 7919 % 256);
    b.data()[i] = static_cast<int8_t>(i * 104729 % 255 - 127);
  }
  std::array<int32_t, 32 * 32> got{}, wanted{};
  block_int8(kSteps, 32, a.data(), b.data(), got.data());
  scalar_table().block_int8(kSteps, 32, a.data(), b.data(), wanted.data());
  EXPECT_EQ(got, wanted);
}

TEST(TileBlock, Bf16IsWhatTheScalarTableGives) {
  constexpr int64_t kBlocks = 3, kElements = kBlocks * 2 * kTileElements;
  AlignedBuffer<bf16> a(kElements), b(kElements);
  const auto values = numbers(2 * kElements, 3);
  for (int64_t i = 0; i < kElements; ++i) {
    a.data()[i] = to_bf16_reference(values[static_cast<size_t>(i)]);
    b.data()[i] = to_bf16_reference(values[static_cast<size_t>(kElements + i)]);
  }
  std::array<float, 32 * 32> got, wanted;
  got.fill(1.0f);
  wanted.fill(1.0f);
  for (const bool accumulate : {false, true}) {
    if (accumulate) {
      block(kBlocks, a.data(), b.data(), got.data(), accumulate);
    } else {
      block_rows(kBlocks, 32, a.data(), b.data(), got.data());
    }
    scalar_table().block(kBlocks, a.data(), b.data(), wanted.data(), accumulate);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], 1e-4) << i;
  }
}

}  // namespace
}  // namespace opencloc::kernels
