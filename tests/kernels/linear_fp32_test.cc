#include "opencloc/kernels/gemm/linear_fp32.h"

#include "numbers.h"

namespace opencloc::kernels {
namespace {

struct Fp32Shape {
  int64_t rows, in, out;
};
// Blocks that are cut, none at all, and depths beyond what is multiplied at a time.
const Fp32Shape kFp32Shapes[] = {{1, 1, 1},      {0, 5, 3},    {3, 0, 4},    {2, 5, 0},
                                 {5, 7, 31},     {32, 64, 32}, {65, 70, 40}, {300, 20, 96},
                                 {1100, 9, 130}, {40, 500, 70}};

std::vector<double> product(const std::vector<float>& x, const std::vector<float>& w,
                            const std::vector<float>& bias, const Fp32Shape& s) {
  std::vector<double> y;
  for (int64_t r = 0; r < s.rows; ++r) {
    for (int64_t o = 0; o < s.out; ++o) {
      double total = static_cast<double>(bias[static_cast<size_t>(o)]);
      for (int64_t i = 0; i < s.in; ++i) {
        total += static_cast<double>(x[static_cast<size_t>(r * s.in + i)]) *
                 static_cast<double>(w[static_cast<size_t>(o * s.in + i)]);
      }
      y.push_back(total);
    }
  }
  return y;
}

TEST(LinearFp32, AgreesWithTheDefinition) {
  for (const Fp32Shape& s : kFp32Shapes) {
    SCOPED_TRACE(testing::Message() << s.rows << " x " << s.in << " -> " << s.out);
    const auto x = numbers(s.rows * s.in, 1), w = numbers(s.out * s.in, 2);
    const auto bias = numbers(s.out, 3);
    const std::vector<float> none(bias.size());
    for (const bool with_bias : {true, false}) {
      const auto wanted = product(x, w, with_bias ? bias : none, s);
      on_every_isa([&] {
        const PackedFp32 packed(w.data(), s.out, s.in);
        std::vector<float> y(wanted.size() + 1, 99.0f);
        linear_fp32(x.data(), s.rows, packed, with_bias ? bias.data() : nullptr, y.data());
        for (size_t i = 0; i < wanted.size(); ++i) {
          ASSERT_NEAR(y[i], wanted[i], 2e-7 * static_cast<double>(s.in + 4)) << i;
        }
        EXPECT_EQ(y.back(), 99.0f);
      });
    }
  }
}

TEST(LinearFp32, TheMlpIsTwoLinearsWithAGeluBetween) {
  for (const auto& s : {Fp32Shape{3, 10, 20}, Fp32Shape{70, 40, 100}, Fp32Shape{900, 33, 65}}) {
    SCOPED_TRACE(testing::Message() << s.rows << " x " << s.in << " -> " << s.out);
    const auto x = numbers(s.rows * s.in, 1), fc_bias = numbers(s.out, 3);
    const auto fc = numbers(s.out * s.in, 2), proj = numbers(s.in * s.out, 4);
    const auto proj_bias = numbers(s.in, 5);
    for (const Gelu kind : {Gelu::kErf, Gelu::kQuick, Gelu::kTanh}) {
      on_every_isa([&] {
        const PackedFp32 first(fc.data(), s.out, s.in), second(proj.data(), s.in, s.out);
        std::vector<float> h(static_cast<size_t>(s.rows * s.out));
        std::vector<float> wanted(x.size()), y(x.size());
        linear_fp32(x.data(), s.rows, first, fc_bias.data(), h.data());
        gelu_forward(kind, s.rows * s.out, h.data(), h.data());
        linear_fp32(h.data(), s.rows, second, proj_bias.data(), wanted.data());
        mlp_fp32({kind, &first, &second, fc_bias.data(), proj_bias.data()}, x.data(), s.rows,
                 y.data());
        for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], wanted[i], 1e-5) << i;
      });
    }
  }
}

TEST(LinearFp32, GivesTheSameBitsForAnyNumberOfThreads) {
  const int64_t rows = 197, in = 200, out = 300;
  const auto x = numbers(rows * in, 1), w = numbers(out * in, 2), bias = numbers(out, 3);
  const PackedFp32 packed(w.data(), out, in);
  std::vector<float> wanted;
  for (const int threads : {1, 2, 3, 5}) {
    set_thread_count(threads);
    std::vector<float> y(static_cast<size_t>(rows * out));
    linear_fp32(x.data(), rows, packed, bias.data(), y.data());
    if (wanted.empty()) wanted = y;
    EXPECT_EQ(y, wanted) << threads << " threads";
  }
  set_thread_count(1);
}

}  // namespace
}  // namespace opencloc::kernels
