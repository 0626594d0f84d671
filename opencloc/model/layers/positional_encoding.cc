#include "opencloc/model/layers/positional_encoding.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace opencloc {
namespace {

constexpr double kTurn = 2.0 * std::numbers::pi;

}  // namespace

torch::Tensor encoding_frequencies(int64_t width, int64_t encoding_grid,
                                   const torch::TensorOptions& options) {
  TORCH_CHECK(width % 4 == 0, "the width of a positional encoding must be a multiple of 4, got ",
              width);
  const int64_t count = width / 4;
  const double finest = std::max(0.0, std::log2(static_cast<double>(encoding_grid) / 2));  // octave
  return torch::exp2(torch::linspace(-1.0, finest, count, options));                       // [D/4]
}

torch::Tensor sinusoidal_encoding(const torch::Tensor& points, int64_t width,
                                  int64_t encoding_grid) {
  const auto angles = points.unsqueeze(-1) *
                      encoding_frequencies(width, encoding_grid, points.options()) *
                      kTurn;                                        // [..., 2, D/4]
  return torch::cat({angles.sin(), angles.cos()}, -1).flatten(-2);  // [..., D]
}

torch::Tensor integrated_encoding(const torch::Tensor& boxes, int64_t width,
                                  int64_t encoding_grid) {
  const auto first = boxes.slice(1, 0, 2), last = boxes.slice(1, 2, 4);  // [R, x y]
  const auto cycles = encoding_frequencies(width, encoding_grid, boxes.options());
  const auto angles = ((first + last) / 2).unsqueeze(-1) * cycles * kTurn;  // [R, 2, D/4]
  // sin(pi x) / (pi x) of x cycles a side.
  const auto share = torch::sinc((last - first).unsqueeze(-1) * cycles);
  return torch::cat({angles.sin() * share, angles.cos() * share}, -1).flatten(1);  // [R, D]
}

torch::Tensor patch_centre_encoding(int64_t grid, int64_t width, int64_t encoding_grid) {
  const auto centres =
      (torch::arange(grid, torch::kFloat) + 0.5) / static_cast<double>(grid);  // [grid]
  const auto y = centres.view({grid, 1}).expand({grid, grid});
  const auto x = centres.view({1, grid}).expand({grid, grid});
  return sinusoidal_encoding(torch::stack({x, y}, -1).view({grid * grid, 2}), width,
                             encoding_grid);  // [N, D]
}

}  // namespace opencloc
