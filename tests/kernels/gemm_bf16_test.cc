#include "opencloc/kernels/gemm/gemm_bf16.h"

#include <limits>

#include "numbers.h"
#include "opencloc/kernels/isa/kernel_table.h"

namespace opencloc::kernels {
namespace {

struct Shape {
  int64_t rows, in, out;
};
const Shape kShapes[] = {{1, 1, 1},    {0, 5, 3},    {3, 0, 4},     {2, 5, 0},       {31, 33, 17},
                         {32, 32, 32}, {65, 70, 40}, {300, 20, 96}, {130, 192, 576}, {40, 900, 70}};

double tolerance(int64_t depth) { return 3e-7 * static_cast<double>(depth + 4); }

std::vector<bf16> as_bf16(const std::vector<float>& values) {
  std::vector<bf16> result;
  for (const float value : values) result.push_back(to_bf16_reference(value));
  return result;
}

TEST(LinearBf16, AgreesWithRoundedOperands) {
  for (const Shape& s : kShapes) {
    SCOPED_TRACE(testing::Message() << s.rows << " x " << s.in << " -> " << s.out);
    const auto x = numbers(s.rows * s.in, 1), w = numbers(s.out * s.in, 2), b = numbers(s.out, 3);
    const auto x_half = as_bf16(x);
    std::vector<double> wanted;
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t o = 0; o < s.out; ++o) {
        double total = b[static_cast<size_t>(o)];
        for (int64_t i = 0; i < s.in; ++i) {
          total += rounded(x[static_cast<size_t>(r * s.in + i)]) *
                   rounded(w[static_cast<size_t>(o * s.in + i)]);
        }
        wanted.push_back(total);
      }
    }
    on_every_isa([&] {
      const auto packed = PackedWeight::for_forward(w.data(), s.out, s.in);
      std::vector<float> y(wanted.size(), 99.0f), y_of_half(wanted.size(), 99.0f);
      linear_bf16(view(x.data(), s.rows, s.in), packed, b.data(), y.data());
      linear_bf16(view(x_half.data(), s.rows, s.in), packed, b.data(), y_of_half.data());
      for (size_t i = 0; i < wanted.size(); ++i) ASSERT_NEAR(y[i], wanted[i], tolerance(s.in)) << i;
      EXPECT_EQ(y, y_of_half);
    });
  }
}

TEST(LinearBf16, GradientOfItsInput) {
  for (const Shape& s : kShapes) {
    SCOPED_TRACE(testing::Message() << s.rows << " x " << s.in << " -> " << s.out);
    const auto dy = numbers(s.rows * s.out, 4), w = numbers(s.out * s.in, 5);
    std::vector<double> wanted;
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t i = 0; i < s.in; ++i) {
        double total = 0;
        for (int64_t o = 0; o < s.out; ++o) {
          total += rounded(dy[static_cast<size_t>(r * s.out + o)]) *
                   rounded(w[static_cast<size_t>(o * s.in + i)]);
        }
        wanted.push_back(total);
      }
    }
    on_every_isa([&] {
      const auto packed = PackedWeight::for_backward(w.data(), s.out, s.in);
      std::vector<float> dx(wanted.size(), 99.0f);
      linear_bf16(view(dy.data(), s.rows, s.out), packed, nullptr, dx.data());
      for (size_t i = 0; i < wanted.size(); ++i) {
        ASSERT_NEAR(dx[i], wanted[i], tolerance(s.out)) << i;
      }
    });
  }
}

void expect_weight_gradient(const Shape& s) {
  SCOPED_TRACE(testing::Message() << s.rows << " x " << s.in << " -> " << s.out);
  const auto dy = numbers(s.rows * s.out, 6), x = numbers(s.rows * s.in, 7);
  const auto dy_half = as_bf16(dy), x_half = as_bf16(x);
  std::vector<double> wanted(static_cast<size_t>(s.out * s.in)), bias(static_cast<size_t>(s.out));
  for (int64_t r = 0; r < s.rows; ++r) {
    for (int64_t o = 0; o < s.out; ++o) {
      const float d = dy[static_cast<size_t>(r * s.out + o)];
      bias[static_cast<size_t>(o)] += static_cast<double>(d);
      for (int64_t i = 0; i < s.in; ++i) {
        wanted[static_cast<size_t>(o * s.in + i)] +=
            rounded(d) * rounded(x[static_cast<size_t>(r * s.in + i)]);
      }
    }
  }
  std::vector<float> first;
  on_every_isa([&] {
    std::vector<float> dw(wanted.size(), 99.0f), dw_of_half(wanted.size(), 99.0f);
    std::vector<float> dbias(bias.size(), 99.0f);
    weight_gradient_bf16(view(dy.data(), s.rows, s.out), view(x.data(), s.rows, s.in), dw.data(),
                         dbias.data());
    for (size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_NEAR(dw[i], wanted[i], tolerance(s.rows)) << i;
    }
    for (size_t i = 0; i < bias.size(); ++i) ASSERT_NEAR(dbias[i], bias[i], tolerance(s.rows)) << i;
    weight_gradient_bf16(view(dy_half.data(), s.rows, s.out), view(x_half.data(), s.rows, s.in),
                         dw_of_half.data(), nullptr);
    EXPECT_EQ(dw, dw_of_half);
  });
}

TEST(WeightGradientBf16, AgreesWithRoundedOperands) {
  for (const Shape& s : kShapes) expect_weight_gradient(s);
}

TEST(WeightGradientBf16, InSeveralPartsAndAreas) {
  expect_weight_gradient({2100, 40, 70});
  expect_weight_gradient({2100, 70, 40});
  expect_weight_gradient({33, 800, 230});
  expect_weight_gradient({33, 230, 800});
  expect_weight_gradient({40, 780, 790});
}

TEST(WeightGradientBf16, SameBitsForAnyNumberOfThreads) {
  const auto dy = numbers(4160 * 64, 8), x = numbers(4160 * 96, 9);
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 4}) {
    set_thread_count(threads);
    std::vector<float> dw(64 * 96), dbias(64);
    weight_gradient_bf16(view(dy.data(), 4160, 64), view(x.data(), 4160, 96), dw.data(),
                         dbias.data());
    dw.insert(dw.end(), dbias.begin(), dbias.end());
    results.push_back(dw);
  }
  set_thread_count(1);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(Bf16, RoundsAlikeOnEveryInstructionSet) {
  std::vector<float> values = numbers(20, 10);
  const float odd_halfway = std::bit_cast<float>(0x3f818000u);
  const float even_halfway = std::bit_cast<float>(0x3f808000u);
  for (const float v :
       {0.0f, -0.0f, odd_halfway, even_halfway, -odd_halfway, 3e38f, 3.4e38f, -1e-39f, 1e-40f,
        std::numeric_limits<float>::min(), std::numeric_limits<float>::infinity(), std::nanf("")}) {
    values.push_back(v);
  }
  ASSERT_EQ(values.size(), 32u);
  on_every_isa([&] {
    std::vector<bf16> packed(2 * kTileElements, 1);
    kernel_table().pack_rows({values.data(), false, 1, 32, 32}, packed.data());
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(packed[i], to_bf16_reference(values[i])) << values[i];
    }
  });
}

TEST(LinearBf16, NaNIsNotHidden) {
  std::vector<float> x(64, 1.0f), w(64, 1.0f), y(4);
  x[5] = std::nanf("");
  on_every_isa([&] {
    linear_bf16(view(x.data(), 2, 32), PackedWeight::for_forward(w.data(), 2, 32), nullptr,
                y.data());
    EXPECT_TRUE(std::isnan(y[0]));
    EXPECT_EQ(y[2], 32.0f);
  });
}

}  // namespace
}  // namespace opencloc::kernels
