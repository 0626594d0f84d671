#include "opencloc/model/cloc/roi_align.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>
#include <torch/utils.h>

namespace opencloc {
namespace {

// RoIAlign as written in the Mask R-CNN paper: bilinear reads at points of a lattice, averaged. As
// many points along a side as the box spans cells.
float sampled(const torch::Tensor& grid, const float* box, int64_t channel) {
  const int64_t cells = grid.size(0);
  const auto points = [&](double low, double high) {
    return std::max(1, static_cast<int>(std::ceil((high - low) * static_cast<double>(cells))));
  };
  const int rows = points(box[1], box[3]), columns = points(box[0], box[2]);
  double sum = 0;
  for (int iy = 0; iy < rows; ++iy) {
    for (int ix = 0; ix < columns; ++ix) {
      const auto place = [&](double low, double high, int i, int of) {
        return std::clamp((low + (high - low) * (i + 0.5) / of) * static_cast<double>(cells) - 0.5,
                          0.0, static_cast<double>(cells - 1));
      };
      const double y = place(box[1], box[3], iy, rows), x = place(box[0], box[2], ix, columns);
      const auto y0 = static_cast<int64_t>(y), x0 = static_cast<int64_t>(x);
      const int64_t y1 = std::min(y0 + 1, cells - 1), x1 = std::min(x0 + 1, cells - 1);
      const double fy = y - static_cast<double>(y0), fx = x - static_cast<double>(x0);
      const auto at = [&](int64_t r, int64_t c) { return grid[r][c][channel].item<double>(); };
      sum += (1 - fy) * ((1 - fx) * at(y0, x0) + fx * at(y0, x1)) +
             fy * ((1 - fx) * at(y1, x0) + fx * at(y1, x1));
    }
  }
  return static_cast<float>(sum / (rows * columns));
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

// A large box reads every patch it covers: of 24 x 24, four points a side would see 8 rows.
TEST(RoiAlignTest, AWholeImageBoxIsTheMeanOfAllPatches) {
  for (const int64_t grid : {3, 6, 14, 24}) {
    const auto tokens = torch::randn({1, grid * grid, 2});
    const auto got =
        roi_align(tokens, torch::tensor({{0.0f, 0.0f, 1.0f, 1.0f}}), torch::tensor({0}));
    EXPECT_LT((got - tokens.mean(1)).abs().max().item<float>(), 1e-5) << grid;
  }
  // ... and one of whole patches theirs, whatever the rounding of its corners.
  const auto tokens = torch::randn({1, 100, 2});
  const auto patches = tokens.view({10, 10, 2});
  for (int64_t first = 0; first < 8; ++first) {
    const float low = static_cast<float>(first) / 10, high = static_cast<float>(first + 3) / 10;
    const auto got =
        roi_align(tokens, torch::tensor({{low, 0.2f, high, 0.9f}}), torch::tensor({0}));
    const auto mean =
        patches.slice(0, 2, 9).slice(1, first, first + 3).mean(torch::IntArrayRef{0, 1});
    EXPECT_LT((got[0] - mean).abs().max().item<float>(), 1e-4) << first;
  }
}

// tests/model/roi_align_reference.py: torchvision 0.29.2's numbers.
TEST(RoiAlignTest, EqualsTorchvisions) {
  constexpr int64_t kGrid = 9;
  auto tokens = torch::empty({1, kGrid * kGrid, 2});
  for (int64_t n = 0; n < kGrid * kGrid; ++n) {
    for (int64_t c = 0; c < 2; ++c) tokens[0][n][c] = static_cast<float>(n * (2 * c + 3) % 13);
  }
  const auto boxes = torch::tensor({{0.0f, 0.0f, 1.0f, 1.0f},
                                    {0.13f, 0.4f, 0.57f, 0.93f},
                                    {0.9f, 0.02f, 0.95f, 0.05f},
                                    {0.02f, 0.31f, 0.99f, 0.36f},
                                    {0.6f, 0.55f, 1.0f, 1.0f},
                                    {0.25f, 0.1f, 0.26f, 0.97f}});
  const auto wanted = torch::tensor({{5.888889f, 5.962963f},
                                     {5.764246f, 5.846164f},
                                     {10.474999f, 2.400002f},
                                     {5.983334f, 6.102411f},
                                     {5.390901f, 5.78055f},
                                     {7.423878f, 4.859253f}});
  const auto got = roi_align(tokens, boxes, torch::zeros({boxes.size(0)}, torch::kLong));
  EXPECT_LT((got - wanted).abs().max().item<float>(), 1e-4);
}

TEST(RoiAlignTest, NoBoxes) {
  EXPECT_EQ(
      roi_align(torch::randn({1, 5, 3}), torch::empty({0, 4}), torch::empty({0}, torch::kLong))
          .sizes(),
      (std::vector<int64_t>{0, 3}));
}

}  // namespace
}  // namespace opencloc
