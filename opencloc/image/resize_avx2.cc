// A weight of 22 fractional bits does not fit the 16-bit multiplier, so it is split,
// w = high * 2^11 + low, and the two halves are multiplied and summed apart.
#include "opencloc/image/resize_kernels.h"

#ifdef OPENCLOC_RESIZE_X86
#include <algorithm>
#include <cstring>

#include <immintrin.h>

#define OPENCLOC_AVX2 __attribute__((target("avx2")))

namespace opencloc::detail {
namespace {

constexpr int kSplit = 11;
constexpr int kRowsAtOnce = 4;  // a weight is unpacked once for so many rows

int32_t pair(int32_t a, int32_t b) {
  return static_cast<int32_t>((static_cast<uint32_t>(b) << 16) |
                              (static_cast<uint32_t>(a) & 0xffff));
}
int32_t low(int32_t w) { return w & ((1 << kSplit) - 1); }
int32_t high(int32_t w) { return w >> kSplit; }

// Four taps of one output: low 0 1, low 2 3, high 0 1, high 2 3, two 16-bit numbers each.
struct TapGroup {
  int32_t packed[4];
};

std::vector<TapGroup> pack_groups(const AxisWeights& weights) {
  std::vector<TapGroup> groups(weights.weights.size() / 4);
  for (size_t g = 0; g < groups.size(); ++g) {
    const int32_t* w = weights.weights.data() + 4 * g;
    groups[g] = {{pair(low(w[0]), low(w[1])), pair(low(w[2]), low(w[3])),
                  pair(high(w[0]), high(w[1])), pair(high(w[2]), high(w[3]))}};
  }
  return groups;
}

// (high << 11) + low, both lanes, rounded and shifted: four 32-bit channel values.
OPENCLOC_AVX2 inline __m128i finish(__m256i sum_low, __m256i sum_high) {
  const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(sum_high, kSplit), sum_low);
  const __m128i both = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  return _mm_srai_epi32(_mm_add_epi32(both, _mm_set1_epi32(1 << (kWeightBits - 1))), kWeightBits);
}

// `Rows` rows at once. Reads up to 3 pixels and 4 bytes past the last tap of each row.
template <int Rows>
OPENCLOC_AVX2 void horizontal_rows(const uint8_t* const* rows, const AxisWeights& weights,
                                   const TapGroup* groups, uint8_t* const* targets) {
  // Bytes r0 r1 g0 g1 b0 b1 of the pixels 0, 1 (lower lane) and 2, 3 (upper) as 16-bit numbers.
  const __m256i spread =
      _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,  //
                       6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  const __m256i lows = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m256i highs = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
  const int groups_per_output = weights.stride / 4;
  for (int i = 0; i < weights.outputs; ++i) {
    __m256i sum_low[Rows], sum_high[Rows];
    for (int r = 0; r < Rows; ++r) sum_low[r] = sum_high[r] = _mm256_setzero_si256();
    const TapGroup* group = groups + static_cast<size_t>(i) * groups_per_output;
    const ptrdiff_t first = 3 * static_cast<ptrdiff_t>(weights.first[i]);
    const int used = (weights.count[i] + 3) / 4;
    for (int g = 0; g < used; ++g) {
      const __m256i packed = _mm256_castsi128_si256(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(group[g].packed)));
      const __m256i weight_low = _mm256_permutevar8x32_epi32(packed, lows);
      const __m256i weight_high = _mm256_permutevar8x32_epi32(packed, highs);
      for (int r = 0; r < Rows; ++r) {
        const __m128i bytes =
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[r] + first + 12 * g));
        const __m256i pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
        sum_low[r] = _mm256_add_epi32(sum_low[r], _mm256_madd_epi16(pixels, weight_low));
        sum_high[r] = _mm256_add_epi32(sum_high[r], _mm256_madd_epi16(pixels, weight_high));
      }
    }
    for (int r = 0; r < Rows; ++r) {
      const __m128i value = finish(sum_low[r], sum_high[r]);
      const __m128i words = _mm_packs_epi32(value, value);
      const int four = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
      std::memcpy(targets[r] + 3 * i, &four,
                  4);  // the fourth byte is overwritten by the next pixel
    }
  }
}

// 16 bytes of one output row.
OPENCLOC_AVX2 inline void vertical_block(const uint8_t* column, ptrdiff_t stride, int count,
                                         const int32_t* packed, uint8_t* target) {
  __m256i low0 = _mm256_setzero_si256(), low1 = low0, high0 = low0, high1 = low0;
  for (int k = 0; k < count; k += 2, packed += 2, column += 2 * stride) {
    const __m256i a =
        _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(column)));
    // An odd last row is paired with itself; its weight there is 0.
    const uint8_t* next = k + 1 < count ? column + stride : column;
    const __m256i b = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(next)));
    const __m256i first = _mm256_unpacklo_epi16(a, b);
    const __m256i second = _mm256_unpackhi_epi16(a, b);
    const __m256i weight_low = _mm256_set1_epi32(packed[0]);
    const __m256i weight_high = _mm256_set1_epi32(packed[1]);
    low0 = _mm256_add_epi32(low0, _mm256_madd_epi16(first, weight_low));
    low1 = _mm256_add_epi32(low1, _mm256_madd_epi16(second, weight_low));
    high0 = _mm256_add_epi32(high0, _mm256_madd_epi16(first, weight_high));
    high1 = _mm256_add_epi32(high1, _mm256_madd_epi16(second, weight_high));
  }
  const __m256i half = _mm256_set1_epi32(1 << (kWeightBits - 1));
  const __m256i sum0 = _mm256_add_epi32(_mm256_slli_epi32(high0, kSplit), low0);
  const __m256i sum1 = _mm256_add_epi32(_mm256_slli_epi32(high1, kSplit), low1);
  const __m256i value0 = _mm256_srai_epi32(_mm256_add_epi32(sum0, half), kWeightBits);
  const __m256i value1 = _mm256_srai_epi32(_mm256_add_epi32(sum1, half), kWeightBits);
  // Lane l: columns 8 l .. 8 l + 7 as 16-bit numbers, in order.
  const __m256i words = _mm256_packs_epi32(value0, value1);
  const __m128i bytes =
      _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(target), bytes);
}

}  // namespace

void horizontal_pass_avx2(const RowsIn& in, const AxisWeights& weights, const RowsOut& out) {
  const std::vector<TapGroup> groups = pack_groups(weights);
  const ptrdiff_t row_bytes = 3 * static_cast<ptrdiff_t>(in.width);
  constexpr ptrdiff_t kOverread = 16;
  std::vector<uint8_t> copy;  // of a row whose overread would leave the picture
  for (int y = 0; y < in.rows; y += kRowsAtOnce) {
    const int rows = std::min(kRowsAtOnce, in.rows - y);
    const uint8_t* sources[kRowsAtOnce];
    uint8_t* targets[kRowsAtOnce];
    if (copy.empty() && in.end - (in.data + (y + rows - 1) * in.stride) < row_bytes + kOverread) {
      copy.resize(kRowsAtOnce * (row_bytes + kOverread));
    }
    for (int r = 0; r < rows; ++r) {
      sources[r] = in.data + (y + r) * in.stride;
      targets[r] = out.data + (y + r) * out.stride;
      if (in.end - sources[r] < row_bytes + kOverread) {
        uint8_t* place = copy.data() + r * (row_bytes + kOverread);
        std::memcpy(place, sources[r], row_bytes);
        sources[r] = place;
      }
    }
    if (rows == kRowsAtOnce) {
      horizontal_rows<kRowsAtOnce>(sources, weights, groups.data(), targets);
    } else {
      for (int r = 0; r < rows; ++r) {
        horizontal_rows<1>(sources + r, weights, groups.data(), targets + r);
      }
    }
  }
}

void vertical_pass_avx2(const RowsIn& in, const AxisWeights& weights, const RowsOut& out) {
  const int bytes = 3 * in.width;
  constexpr int kBlock = 16;
  if (bytes < kBlock) return vertical_pass_portable(in, weights, out);
  std::vector<int32_t> packed(weights.stride);
  for (int i = 0; i < weights.outputs; ++i) {
    const int32_t* w = weights.weights.data() + static_cast<size_t>(i) * weights.stride;
    for (int k = 0; k < weights.stride; k += 2) {
      packed[k] = pair(low(w[k]), low(w[k + 1]));
      packed[k + 1] = pair(high(w[k]), high(w[k + 1]));
    }
    const uint8_t* source = in.data + weights.first[i] * in.stride;
    uint8_t* target = out.data + i * out.stride;
    for (int x = 0; x < bytes; x += kBlock) {
      const int at = std::min(x, bytes - kBlock);  // the last block overlaps the one before
      vertical_block(source + at, in.stride, weights.count[i], packed.data(), target + at);
    }
  }
}

}  // namespace opencloc::detail
#endif
