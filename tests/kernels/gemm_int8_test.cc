#include "opencloc/kernels/gemm/gemm_int8.h"

#include <algorithm>
#include <limits>

#include "numbers.h"
#include "opencloc/kernels/isa/kernel_table.h"

namespace opencloc::kernels {
namespace {

struct Int8Shape {
  int64_t rows, in, out;
};
const Int8Shape kInt8Shapes[] = {{1, 1, 1},     {0, 5, 3},    {3, 0, 4},    {2, 5, 0},
                                 {31, 65, 17},  {32, 64, 32}, {65, 70, 40}, {70, 130, 9},
                                 {300, 20, 96}, {40, 768, 70}};

struct Quantized {
  std::vector<int8_t> values;
  std::vector<float> scale;
};
Quantized quantized(const std::vector<float>& w, int64_t out, int64_t in) {
  Quantized q{std::vector<int8_t>(w.size()), std::vector<float>(static_cast<size_t>(out))};
  quantize_weight(w.data(), out, in, q.values.data(), q.scale.data());
  return q;
}

// What the definition gives, in double; x by rows as quantize_rows is meant to round it.
std::vector<double> product(const std::vector<float>& x, const Int8Shape& s, const Quantized& w,
                            const float* bias) {
  std::vector<double> y;
  for (int64_t r = 0; r < s.rows; ++r) {
    const float* row = x.data() + r * s.in;
    float low = 0, high = 0;
    if (s.in > 0) {
      low = *std::min_element(row, row + s.in);
      high = *std::max_element(row, row + s.in);
    }
    const float width = high - low, inverse = width > 0 ? 255.0f / width : 0.0f;
    for (int64_t o = 0; o < s.out; ++o) {
      double total = bias == nullptr ? 0.0 : static_cast<double>(bias[o]);
      const double scale = static_cast<double>(w.scale[static_cast<size_t>(o)]);
      for (int64_t i = 0; i < s.in; ++i) {
        const float difference = row[i] - low, q = std::nearbyint(difference * inverse);
        total += (static_cast<double>(width / 255.0f) * static_cast<double>(q) +
                  static_cast<double>(low)) *
                 scale * w.values[static_cast<size_t>(o * s.in + i)];
      }
      y.push_back(total);
    }
  }
  return y;
}

TEST(LinearInt8, AgreesWithTheDefinition) {
  for (const Int8Shape& s : kInt8Shapes) {
    SCOPED_TRACE(testing::Message() << s.rows << " x " << s.in << " -> " << s.out);
    const auto x = numbers(s.rows * s.in, 1), bias = numbers(s.out, 3);
    const auto w = quantized(numbers(s.out * s.in, 2), s.out, s.in);
    for (const float* b : {bias.data(), static_cast<const float*>(nullptr)}) {
      const auto wanted = product(x, s, w, b);
      on_every_isa([&] {
        const PackedInt8 packed(w.values.data(), w.scale.data(), s.out, s.in);
        std::vector<float> y(wanted.size(), 99.0f);
        linear_int8(x.data(), s.rows, packed, b, y.data());
        for (size_t i = 0; i < y.size(); ++i) {
          ASSERT_NEAR(y[i], wanted[i], 1e-6 * static_cast<double>(s.in + 4)) << i;
        }
      });
    }
  }
}

TEST(LinearInt8, IsCloseToTheProductOfWhatWasQuantised) {
  const int64_t rows = 20, in = 256, out = 40;
  auto x = numbers(rows * in, 4);
  for (float& v : x) v += 0.7f;  // mostly of one sign
  const auto w = numbers(out * in, 5);
  const auto q = quantized(w, out, in);
  const PackedInt8 packed(q.values.data(), q.scale.data(), out, in);
  std::vector<float> y(static_cast<size_t>(rows * out));
  linear_int8(x.data(), rows, packed, nullptr, y.data());
  double error = 0, size = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      double exact = 0;
      for (int64_t i = 0; i < in; ++i) {
        exact += static_cast<double>(x[static_cast<size_t>(r * in + i)]) *
                 static_cast<double>(w[static_cast<size_t>(o * in + i)]);
      }
      const double d = static_cast<double>(y[static_cast<size_t>(r * out + o)]) - exact;
      error += d * d;
      size += exact * exact;
    }
  }
  EXPECT_LT(std::sqrt(error / size), 0.008);
}

// All bytes, so that a product that saturates or takes a wrong sign shows.
std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> result;
  for (const Isa isa : supported_isas()) {
    set_active_isa(isa);
    result.push_back(&kernel_table());
  }
#if defined(__x86_64__)
  if (isa_supported(Isa::kAvx512)) result.push_back(&avx512_table());  // without VNNI
#endif
  return result;
}

TEST(BlockInt8, GivesTheSameIntegersOnEveryInstructionSet) {
  for (const int64_t steps : {0, 1, 2, 12, 29}) {
    const auto count = static_cast<size_t>(steps * 2 * kTileBytes);
    AlignedBuffer<uint8_t> a(steps * 2 * kTileBytes + 1);
    AlignedBuffer<int8_t> b(steps * 2 * kTileBytes + 1);
    for (size_t i = 0; i < count; ++i) {
      a.data()[i] = static_cast<uint8_t>(i * 7919 % 256);
      b.data()[i] = static_cast<int8_t>(static_cast<int>(i * 104729 % 255) - 127);
    }
    if (steps >= 12) {  // the largest sums there are
      std::fill_n(a.data(), count, uint8_t{255});
      std::fill_n(b.data(), count, int8_t{-127});
    }
    std::vector<int32_t> wanted(32 * 32);
    for (int64_t r = 0; r < 32; ++r) {
      for (int64_t c = 0; c < 32; ++c) {
        for (int64_t k = 0; k < 64 * steps; ++k) {
          const int64_t step = k / 64 * 2;
          wanted[static_cast<size_t>(r * 32 + c)] +=
              a.data()[(step + r / 16) * kTileBytes + r % 16 * 64 + k % 64] *
              b.data()[(step + c / 16) * kTileBytes + k % 64 / 4 * 64 + c % 16 * 4 + k % 4];
        }
      }
    }
    for (const KernelTable* table : tables()) {
      AlignedBuffer<int32_t> c(32 * 32);
      std::fill_n(c.data(), 32 * 32, 7);
      table->begin_blocks();
      table->block_int8(steps, 32, a.data(), b.data(), c.data());
      table->end_blocks();
      EXPECT_EQ(std::vector<int32_t>(c.data(), c.data() + 32 * 32), wanted) << steps;
      for (const int64_t rows : {1, 9, 31}) {
        std::fill_n(c.data(), 32 * 32, 7);
        table->begin_blocks();
        table->block_int8(steps, rows, a.data(), b.data(), c.data());
        table->end_blocks();
        EXPECT_TRUE(std::equal(c.data(), c.data() + rows * 32, wanted.data())) << rows;
      }
    }
  }
}

TEST(QuantizeRows, RoundsAlikeOnEveryInstructionSet) {
  const int64_t rows = 19, depth = 77;
  auto x = numbers(rows * depth, 6);
  for (int64_t i = 0; i < depth; ++i) {
    x[static_cast<size_t>(i)] = static_cast<float>(i) * 0.5f;  // halves between two steps
    x[static_cast<size_t>(depth + i)] = -3.25f;                // no width
    x[static_cast<size_t>(2 * depth + i)] *= 1e-38f;           // next to nothing
  }
  std::vector<uint8_t> first;
  std::vector<float> first_scale;
  for (const KernelTable* table : tables()) {
    std::vector<uint8_t> packed(static_cast<size_t>(int8_panel_bytes(depth)), 9);
    std::vector<float> scale(64, 9.0f);
    table->quantize_rows(rows, depth, x.data(), packed.data(), scale.data(), scale.data() + 32);
    if (first.empty()) {
      first = packed;
      first_scale = scale;
    }
    EXPECT_EQ(packed, first);
    EXPECT_EQ(scale, first_scale);
  }
  EXPECT_EQ(first_scale[1], 0.0f);
  EXPECT_EQ(first_scale[32 + 1], -3.25f);
  EXPECT_EQ(first_scale[19], 0.0f);
}

TEST(QuantizeWeight, KeepsTheLargestOfARowAndRowsOfZeros) {
  const std::vector<float> w = {0.5f, -2.54f, 0.02f, 0, 0, 0, 1e-45f, 0, -1e-45f};
  const auto q = quantized(w, 3, 3);
  EXPECT_EQ(q.scale[0], 2.54f / 127.0f);
  EXPECT_EQ((std::vector<int8_t>(q.values.begin(), q.values.begin() + 6)),
            (std::vector<int8_t>{25, -127, 1, 0, 0, 0}));
  EXPECT_EQ(q.scale[1], 0.0f);
}

TEST(LinearInt8, NaNAndInfinityAreNotHidden) {
  const auto w = quantized(numbers(3 * 70, 7), 3, 70);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const size_t at : {size_t{0}, size_t{33}, size_t{69}}) {
      auto x = numbers(2 * 70, 8);
      x[at] = bad;
      on_every_isa([&] {
        const PackedInt8 packed(w.values.data(), w.scale.data(), 3, 70);
        std::vector<float> y(6);
        linear_int8(x.data(), 2, packed, nullptr, y.data());
        for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(y[i])) << at;
        for (size_t i = 3; i < 6; ++i) EXPECT_TRUE(std::isfinite(y[i])) << at;
      });
    }
  }
}

double gelu_of(Gelu kind, double x) {
  if (kind == Gelu::kQuick) return x / (1 + std::exp(-1.702 * x));
  if (kind == Gelu::kTanh)
    return 0.5 * x * (1 + std::tanh(0.7978845608 * (x + 0.044715 * x * x * x)));
  return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
}

TEST(MlpInt8, IsTwoLinearsWithAGeluBetween) {
  for (const Int8Shape& s :
       {Int8Shape{0, 8, 8}, Int8Shape{1, 5, 3}, Int8Shape{33, 70, 40}, Int8Shape{300, 33, 130}}) {
    SCOPED_TRACE(testing::Message() << s.rows << " x " << s.in << " -> " << s.out);
    const auto x = numbers(s.rows * s.in, 9), b1 = numbers(s.out, 10), b2 = numbers(s.in, 11);
    const auto fc = quantized(numbers(s.out * s.in, 12), s.out, s.in);
    const auto proj = quantized(numbers(s.in * s.out, 13), s.in, s.out);
    for (const Gelu kind : {Gelu::kErf, Gelu::kQuick, Gelu::kTanh}) {
      std::vector<float> hidden;
      for (const double v : product(x, s, fc, b1.data())) {
        hidden.push_back(static_cast<float>(gelu_of(kind, v)));
      }
      const auto wanted = product(hidden, {s.rows, s.out, s.in}, proj, b2.data());
      on_every_isa([&] {
        const PackedInt8 packed_fc(fc.values.data(), fc.scale.data(), s.out, s.in);
        const PackedInt8 packed_proj(proj.values.data(), proj.scale.data(), s.in, s.out);
        std::vector<float> y(wanted.size(), 99.0f);
        mlp_int8({kind, &packed_fc, &packed_proj, b1.data(), b2.data()}, x.data(), s.rows,
                 y.data());
        // A hidden value next to a half may round to the other side.
        for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], wanted[i], 0.05) << i;
      });
    }
  }
}

TEST(LinearInt8, SameBitsForAnyNumberOfThreads) {
  const int64_t rows = 700, in = 96, out = 80;
  const auto x = numbers(rows * in, 14);
  const auto w = quantized(numbers(out * in, 15), out, in);
  const PackedInt8 packed(w.values.data(), w.scale.data(), out, in);
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 5}) {
    set_thread_count(threads);
    results.emplace_back(static_cast<size_t>(rows * out));
    linear_int8(x.data(), rows, packed, nullptr, results.back().data());
  }
  set_thread_count(1);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

}  // namespace
}  // namespace opencloc::kernels
