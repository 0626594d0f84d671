#include "opencloc/model/roi_align.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>
#include <torch/utils.h>

namespace opencloc {
namespace {

// RoIAlign as written in the Mask R-CNN paper: bilinear reads at 4 x 4 points, averaged.
float sampled(const torch::Tensor& grid, const float* box, int64_t channel) {
  const int64_t cells = grid.size(0);
  double sum = 0;
  for (int iy = 0; iy < 4; ++iy) {
    for (int ix = 0; ix < 4; ++ix) {
      const auto place = [&](double low, double high, int i) {
        return std::clamp((low + (high - low) * (i + 0.5) / 4) * static_cast<double>(cells) - 0.5,
                          0.0, static_cast<double>(cells - 1));
      };
      const double y = place(box[1], box[3], iy), x = place(box[0], box[2], ix);
      const auto y0 = static_cast<int64_t>(y), x0 = static_cast<int64_t>(x);
      const int64_t y1 = std::min(y0 + 1, cells - 1), x1 = std::min(x0 + 1, cells - 1);
      const double fy = y - static_cast<double>(y0), fx = x - static_cast<double>(x0);
      const auto at = [&](int64_t r, int64_t c) { return grid[r][c][channel].item<double>(); };
      sum += (1 - fy) * ((1 - fx) * at(y0, x0) + fx * at(y0, x1)) +
             fy * ((1 - fx) * at(y1, x0) + fx * at(y1, x1));
    }
  }
  return static_cast<float>(sum / 16);
}

TEST(RoiAlignTest, EqualsPointwiseBilinearSampling) {
  torch::manual_seed(7);
  const auto tokens = torch::randn({2, 26, 3});
  const auto boxes = torch::tensor(
      {{0.0f, 0.0f, 1.0f, 1.0f}, {0.13f, 0.4f, 0.57f, 0.93f}, {0.9f, 0.02f, 0.95f, 0.05f}});
  const auto index = torch::tensor({0, 1, 1}, torch::kLong);
  const auto got = roi_align(tokens, boxes, index);
  for (int64_t r = 0; r < 3; ++r) {
    const auto grid = tokens[index[r].item<int64_t>()].slice(0, 1).view({5, 5, 3});
    for (int64_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(got[r][c].item<float>(), sampled(grid, boxes[r].data_ptr<float>(), c), 1e-5);
    }
  }
}

TEST(RoiAlignTest, NoBoxes) {
  EXPECT_EQ(
      roi_align(torch::randn({1, 5, 3}), torch::empty({0, 4}), torch::empty({0}, torch::kLong))
          .sizes(),
      (std::vector<int64_t>{0, 3}));
}

}  // namespace
}  // namespace opencloc
