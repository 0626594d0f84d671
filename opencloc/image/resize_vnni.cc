// The horizontal pass for AVX-512 with VNNI. One instruction multiplies four bytes by four signed
// bytes and sums them, so a weight is split into three signed base-256 digits; 16 rows are done at
// once, from a copy in which four neighbouring pixels of a channel lie together, row beside row.
#include "opencloc/image/resize_kernels.h"

#ifdef OPENCLOC_RESIZE_X86
#include <algorithm>
#include <cstring>

#include <immintrin.h>

#define OPENCLOC_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

namespace opencloc::detail {
namespace {

constexpr int kRows = 16;
constexpr int kTile = 4 * kRows;     // bytes: [16 rows, 4 pixels] of one channel
constexpr ptrdiff_t kOverread = 16;  // past the end of a row

// The weights of four pixels: digit d of pixel p is byte p of digits[d].
struct QuadWeights {
  int32_t digits[3];
};

// Every output's weights, moved to quads of pixels that begin at multiples of four.
struct Quads {
  int per_output = 0;  // quads that any output needs; missing ones have weight 0
  std::vector<int> first;
  std::vector<QuadWeights> weights;  // [outputs, per_output]
};

Quads make_quads(const AxisWeights& weights) {
  Quads quads;
  for (int i = 0; i < weights.outputs; ++i) {
    const int begin = weights.first[i] / 4, end = (weights.first[i] + weights.count[i] + 3) / 4;
    quads.first.push_back(begin);
    quads.per_output = std::max(quads.per_output, end - begin);
  }
  quads.weights.resize(static_cast<size_t>(weights.outputs) * quads.per_output, QuadWeights{});
  for (int i = 0; i < weights.outputs; ++i) {
    QuadWeights* target = quads.weights.data() + static_cast<size_t>(i) * quads.per_output;
    const int32_t* source = weights.weights.data() + static_cast<size_t>(i) * weights.stride;
    for (int k = 0; k < weights.count[i]; ++k) {
      const int place = weights.first[i] % 4 + k;
      int32_t rest = source[k];  // below 2^23: the filters overshoot by little
      for (int32_t& digit : target[place / 4].digits) {
        const auto byte = static_cast<int8_t>(rest);
        rest = (rest - byte) >> 8;
        reinterpret_cast<int8_t*>(&digit)[place % 4] = byte;
      }
    }
  }
  return quads;
}

// tiles [quads, 3, 16, 4] of the quads [first, last) from 16 rows of RGB.
OPENCLOC_VNNI void gather_tiles(const uint8_t* const* rows, int first, int last, uint8_t* tiles) {
  const __m128i planar = _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1);
  for (int r = 0; r < kRows; r += 4) {
    for (int q = first; q < last; ++q) {
      __m128i pixels[4];
      for (int k = 0; k < 4; ++k) {
        const auto* source =
            reinterpret_cast<const __m128i*>(rows[r + k] + 12 * static_cast<ptrdiff_t>(q));
        pixels[k] = _mm_shuffle_epi8(_mm_loadu_si128(source), planar);
      }
      const __m128i red_green01 = _mm_unpacklo_epi32(pixels[0], pixels[1]);
      const __m128i red_green23 = _mm_unpacklo_epi32(pixels[2], pixels[3]);
      const __m128i blue01 = _mm_unpackhi_epi32(pixels[0], pixels[1]);
      const __m128i blue23 = _mm_unpackhi_epi32(pixels[2], pixels[3]);
      auto* tile =
          reinterpret_cast<__m128i*>(tiles + static_cast<ptrdiff_t>(q) * 3 * kTile + 4 * r);
      _mm_storeu_si128(tile, _mm_unpacklo_epi64(red_green01, red_green23));
      _mm_storeu_si128(tile + kTile / 16, _mm_unpackhi_epi64(red_green01, red_green23));
      _mm_storeu_si128(tile + 2 * kTile / 16, _mm_unpacklo_epi64(blue01, blue23));
    }
  }
}

// columns [outputs, 3, 16]: the results, row beside row.
OPENCLOC_VNNI void filter_tiles(const uint8_t* tiles, const Quads& quads, uint8_t* columns) {
  const __m512i half = _mm512_set1_epi32(1 << (kWeightBits - 1));
  const QuadWeights* weights = quads.weights.data();
  for (size_t i = 0; i < quads.first.size(); ++i, weights += quads.per_output) {
    const uint8_t* tile = tiles + static_cast<ptrdiff_t>(quads.first[i]) * 3 * kTile;
    __m512i sums[3][3];  // channel, digit
    for (auto& sum : sums) {
      sum[0] = half;
      sum[1] = sum[2] = _mm512_setzero_si512();
    }
    for (int q = 0; q < quads.per_output; ++q) {
      for (int c = 0; c < 3; ++c, tile += kTile) {
        const __m512i pixels = _mm512_loadu_si512(tile);
        for (int d = 0; d < 3; ++d) {
          sums[c][d] =
              _mm512_dpbusd_epi32(sums[c][d], pixels, _mm512_set1_epi32(weights[q].digits[d]));
        }
      }
    }
    for (const auto& sum : sums) {
      const __m512i high =
          _mm512_add_epi32(_mm512_slli_epi32(sum[2], 16), _mm512_slli_epi32(sum[1], 8));
      const __m512i value = _mm512_srai_epi32(_mm512_add_epi32(high, sum[0]), kWeightBits);
      const __m512i positive = _mm512_max_epi32(value, _mm512_setzero_si512());
      _mm_storeu_si128(reinterpret_cast<__m128i*>(columns), _mm512_cvtusepi32_epi8(positive));
      columns += kRows;
    }
  }
}

// 16 columns of 16 bytes to 16 rows of 16 bytes.
OPENCLOC_VNNI void transpose(const uint8_t* columns, uint8_t* const* targets, ptrdiff_t at,
                             int rows) {
  __m128i a[16], b[16];
  for (int k = 0; k < 16; ++k) {
    a[k] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(columns + 16 * k));
  }
  for (int stage = 0; stage < 4; ++stage) {  // each interleaves column k with column k + 8
    for (int k = 0; k < 8; ++k) {
      b[2 * k] = _mm_unpacklo_epi8(a[k], a[k + 8]);
      b[2 * k + 1] = _mm_unpackhi_epi8(a[k], a[k + 8]);
    }
    std::copy(b, b + 16, a);
  }
  for (int r = 0; r < rows; ++r) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(targets[r] + at), a[r]);
  }
}

}  // namespace

bool has_vnni() {
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl");
}

void horizontal_pass_vnni(const RowsIn& in, const AxisWeights& weights, const RowsOut& out) {
  const Quads quads = make_quads(weights);
  const int first = weights.begin() / 4;
  // An output with few taps still reads per_output quads, with weight 0.
  const int last = *std::max_element(quads.first.begin(), quads.first.end()) + quads.per_output;
  const int filled = std::min(last, (in.width + 3) / 4);
  std::vector<uint8_t> tiles(static_cast<size_t>(last) * 3 * kTile);
  std::vector<uint8_t> columns((static_cast<size_t>(weights.outputs) * 3 + 15) / 16 * 16 * kRows);
  const ptrdiff_t row_bytes = 3 * static_cast<ptrdiff_t>(in.width);
  std::vector<uint8_t> copy;  // of rows whose overread would leave the picture
  for (int y = 0; y < in.rows; y += kRows) {
    const int rows = std::min(kRows, in.rows - y);
    const uint8_t* sources[kRows];
    uint8_t* targets[kRows];
    for (int r = 0; r < kRows; ++r) {
      const int row = y + std::min(r, rows - 1);  // the last row stands for those that are missing
      sources[r] = in.data + row * in.stride;
      targets[r] = out.data + row * out.stride;
      if (in.end - sources[r] >= row_bytes + kOverread) continue;
      copy.resize(kRows * (row_bytes + kOverread));
      uint8_t* place = copy.data() + r * (row_bytes + kOverread);
      std::memcpy(place, sources[r], row_bytes);
      sources[r] = place;
    }
    gather_tiles(sources, first, filled, tiles.data());
    filter_tiles(tiles.data(), quads, columns.data());
    for (ptrdiff_t at = 0; at < 3 * static_cast<ptrdiff_t>(weights.outputs); at += 16) {
      transpose(columns.data() + at * kRows, targets, at, rows);
    }
  }
}

}  // namespace opencloc::detail
#endif
