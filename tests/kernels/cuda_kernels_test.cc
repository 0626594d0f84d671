// The logic of the CUDA kernels without a GPU: their sources run here thread by thread
// (kernels/cuda/run_on_cpu.h), against plain sums in F64.
#include "opencloc/kernels/cuda/cuda_kernels.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "opencloc/base/rng.h"
#include "opencloc/kernels/cuda/gelu.cu"
#include "opencloc/kernels/cuda/layer_norm.cu"

namespace opencloc::kernels::cuda {
namespace {

constexpr double kBf16 = 1.0 / 256;  // half of the distance of neighbours, of 1
constexpr float kUntouched = 1e30f;

struct Bf16s {
  std::vector<bf16> bits;
  std::vector<double> values;
};
Bf16s random_bf16(int64_t n, uint64_t place, double scale = 1) {
  Rng rng(7, {place});
  Bf16s numbers;
  for (int64_t i = 0; i < n; ++i) {
    numbers.bits.push_back(narrow(static_cast<float>(scale * rng.normal())));
    numbers.values.push_back(widen(numbers.bits.back()));
  }
  return numbers;
}
std::vector<float> random_floats(int64_t n, uint64_t place) {
  Rng rng(7, {place});
  std::vector<float> numbers;
  for (int64_t i = 0; i < n; ++i) numbers.push_back(static_cast<float>(rng.normal()));
  return numbers;
}

void expect_near(double got, double wanted, double tolerance) {
  EXPECT_NEAR(got, wanted, tolerance * std::max(1.0, std::abs(wanted)));
}

TEST(Narrow, RoundsToTheNearestAndKeepsWhatIsNoNumber) {
  EXPECT_EQ(narrow(1.0f), 0x3f80);
  EXPECT_EQ(narrow(float_of(0x3f808000u)), 0x3f80) << "a tie goes to the even one";
  EXPECT_EQ(narrow(float_of(0x3f818000u)), 0x3f82);
  EXPECT_EQ(narrow(float_of(0x3f808001u)), 0x3f81);
  EXPECT_TRUE(std::isnan(widen(narrow(std::nanf("")))));
  EXPECT_TRUE(std::isnan(widen(narrow(float_of(0x7f800001u)))));
  EXPECT_TRUE(std::isinf(widen(narrow(INFINITY))));
}

// Rows of every part of the widths, also where a thread has none.
struct Shape {
  int64_t rows;
  int width;
};
class AddLayerNormTest : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, AddLayerNormTest,
                         testing::Values(Shape{1, 1}, Shape{7, 5}, Shape{4, 256}, Shape{5, 300},
                                         Shape{4, 768}, Shape{2, 1000}, Shape{2, 1280},
                                         Shape{1, 2048}, Shape{1, 2100}, Shape{1, 8192}));

TEST_P(AddLayerNormTest, ForwardAgreesWithPlainSums) {
  const auto [rows, width] = GetParam();
  const auto x = random_bf16(rows * width, 1), added = random_bf16(rows * width, 2);
  const auto weight = random_floats(width, 3), bias = random_floats(width, 4);
  for (const bool with : {true, false}) {
    std::vector<bf16> sum(x.bits.size()), normed(x.bits.size());
    std::vector<float> mean(static_cast<size_t>(rows)), rstd(mean.size());
    ASSERT_EQ(add_layer_norm_forward({.rows = rows,
                                      .width = width,
                                      .epsilon = 1e-5f,
                                      .x = x.bits.data(),
                                      .added = with ? added.bits.data() : nullptr,
                                      .weight = weight.data(),
                                      .bias = bias.data(),
                                      .sum = sum.data(),
                                      .normed = normed.data(),
                                      .mean = mean.data(),
                                      .rstd = rstd.data()},
                                     nullptr),
              0);
    for (int64_t row = 0; row < rows; ++row) {
      const auto first = static_cast<size_t>(row * width);
      std::vector<double> of_row;
      double average = 0, variance = 0;
      for (size_t i = first; i < first + static_cast<size_t>(width); ++i) {
        const double exact = x.values[i] + (with ? added.values[i] : 0);
        if (with) expect_near(widen(sum[i]), exact, kBf16);
        of_row.push_back(with ? static_cast<double>(widen(sum[i])) : exact);
        average += of_row.back() / width;
      }
      for (const double value : of_row) variance += (value - average) * (value - average) / width;
      const double scale = 1 / std::sqrt(variance + 1e-5);
      expect_near(mean[static_cast<size_t>(row)], average, 1e-5);
      expect_near(rstd[static_cast<size_t>(row)], scale, 1e-4);
      for (size_t i = 0; i < of_row.size(); ++i)
        expect_near(widen(normed[first + i]),
                    (of_row[i] - average) * scale * static_cast<double>(weight[i]) +
                        static_cast<double>(bias[i]),
                    kBf16 + 1e-4);
    }
  }
}

TEST_P(AddLayerNormTest, BackwardAgreesWithPlainSums) {
  const auto rows = GetParam().rows;  // clang 14 captures no structured bindings
  const auto width = GetParam().width;
  const auto x = random_bf16(rows * width, 5, 2), dy = random_bf16(rows * width, 6),
             beside = random_bf16(rows * width, 7);
  const auto weight = random_floats(width, 8);
  std::vector<float> mean, rstd;
  std::vector<double> dweight(static_cast<size_t>(width), 0), dbias(dweight);
  std::vector<double> dx;
  for (int64_t row = 0; row < rows; ++row) {
    const double* of_row = x.values.data() + row * width;
    double average = 0, variance = 0, sum = 0, product = 0;
    for (int i = 0; i < width; ++i) average += of_row[i] / width;
    for (int i = 0; i < width; ++i)
      variance += (of_row[i] - average) * (of_row[i] - average) / width;
    const double scale = 1 / std::sqrt(variance + 1e-5);
    mean.push_back(static_cast<float>(average));
    rstd.push_back(static_cast<float>(scale));
    const auto gradient = [&](int i) {
      return dy.values[static_cast<size_t>(row * width + i)] *
             static_cast<double>(weight[static_cast<size_t>(i)]);
    };
    for (int i = 0; i < width; ++i) {
      const double normal = (of_row[i] - average) * scale;
      const double of_output = dy.values[static_cast<size_t>(row * width + i)];
      sum += gradient(i);
      product += gradient(i) * normal;
      dweight[static_cast<size_t>(i)] += of_output * normal;
      dbias[static_cast<size_t>(i)] += of_output;
    }
    for (int i = 0; i < width; ++i)
      dx.push_back((gradient(i) - (sum + (of_row[i] - average) * scale * product) / width) * scale);
  }
  for (const bool with : {true, false}) {
    std::vector<bf16> got(x.bits.size());
    std::vector<float> got_weight(dweight.size(), kUntouched), got_bias(got_weight),
        scratch(static_cast<size_t>(layer_norm_scratch(width)), kUntouched);
    ASSERT_EQ(add_layer_norm_backward({.rows = rows,
                                       .width = width,
                                       .sum = x.bits.data(),
                                       .mean = mean.data(),
                                       .rstd = rstd.data(),
                                       .weight = weight.data(),
                                       .dnormed = dy.bits.data(),
                                       .dsum = with ? beside.bits.data() : nullptr,
                                       .dx = got.data(),
                                       .dweight = got_weight.data(),
                                       .dbias = got_bias.data(),
                                       .scratch = scratch.data()},
                                      nullptr),
              0);
    for (size_t i = 0; i < got.size(); ++i)
      expect_near(widen(got[i]), dx[i] + (with ? beside.values[i] : 0), kBf16 + 2e-3);
    for (size_t i = 0; i < dweight.size(); ++i) {
      expect_near(got_weight[i], dweight[i], 1e-4);
      expect_near(got_bias[i], dbias[i], 1e-5);
    }
  }
}

TEST(AddLayerNormTest, NoRowsAndWrongWidths) {
  std::vector<float> dweight(3, kUntouched), dbias(3, kUntouched),
      scratch(static_cast<size_t>(layer_norm_scratch(3)));
  EXPECT_EQ(add_layer_norm_forward({.rows = 0, .width = 3}, nullptr), 0);
  EXPECT_EQ(add_layer_norm_backward({.rows = 0,
                                     .width = 3,
                                     .dweight = dweight.data(),
                                     .dbias = dbias.data(),
                                     .scratch = scratch.data()},
                                    nullptr),
            0);
  EXPECT_EQ(dweight, (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(dbias, (std::vector<float>{0, 0, 0}));
  EXPECT_NE(add_layer_norm_forward({.rows = 1, .width = 0}, nullptr), 0);
  EXPECT_NE(add_layer_norm_forward({.rows = 1, .width = kMaxWidth + 1}, nullptr), 0);
}

double plain_gelu(CudaGelu kind, double x) {
  if (kind == CudaGelu::kErf) return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
  if (kind == CudaGelu::kQuick) return x / (1 + std::exp(-1.702 * x));
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double plain_slope(CudaGelu kind, double x) {
  constexpr double kStep = 1e-5;
  return (plain_gelu(kind, x + kStep) - plain_gelu(kind, x - kStep)) / (2 * kStep);
}

class CudaGeluTest : public testing::TestWithParam<CudaGelu> {};
INSTANTIATE_TEST_SUITE_P(Kinds, CudaGeluTest,
                         testing::Values(CudaGelu::kErf, CudaGelu::kQuick, CudaGelu::kTanh));

TEST_P(CudaGeluTest, ForwardAndBackwardAgreeWithPlainSums) {
  for (const auto [rows, width] : {Shape{1, 1}, Shape{5, 255}, Shape{11, 700}, Shape{0, 4}}) {
    const auto z = random_bf16(rows * width, 9, 2), dh = random_bf16(rows * width, 10);
    std::vector<bf16> h(z.bits.size()), dz(z.bits.size());
    std::vector<float> dbias(static_cast<size_t>(width), kUntouched),
        scratch(static_cast<size_t>(gelu_scratch(width)), kUntouched);
    ASSERT_EQ(gelu_forward(GetParam(), rows * width, z.bits.data(), h.data(), nullptr), 0);
    ASSERT_EQ(gelu_backward({.kind = GetParam(),
                             .rows = rows,
                             .width = width,
                             .z = z.bits.data(),
                             .dh = dh.bits.data(),
                             .dz = dz.data(),
                             .dbias = dbias.data(),
                             .scratch = scratch.data()},
                            nullptr),
              0);
    std::vector<double> sums(static_cast<size_t>(width), 0);
    for (size_t i = 0; i < h.size(); ++i) {
      const double slope = plain_slope(GetParam(), z.values[i]) * dh.values[i];
      expect_near(widen(h[i]), plain_gelu(GetParam(), z.values[i]), kBf16);
      expect_near(widen(dz[i]), slope, kBf16);
      sums[i % static_cast<size_t>(width)] += slope;
    }
    for (size_t i = 0; i < sums.size(); ++i) expect_near(dbias[i], sums[i], 1e-4);
  }
}

}  // namespace
}  // namespace opencloc::kernels::cuda
