#include "opencloc/model/layers/rotary.h"

namespace opencloc {
namespace {

constexpr double kTemperature = 10000;

}  // namespace

Rotation Rotation::of(const torch::Tensor& rows) const {
  if (!defined()) return *this;
  return {cos.index({rows}), sin.index({rows})};  // [B, K, C/2]
}

Rotation Rotation::then_still(int64_t count) const {
  if (!defined()) return *this;
  auto sizes = cos.sizes().vec();
  sizes[sizes.size() - 2] = count;
  return {torch::cat({cos, torch::ones(sizes, cos.options())}, -2),
          torch::cat({sin, torch::zeros(sizes, sin.options())}, -2)};
}

Rotation rotation_of_grid(const RotationOptions& options, const torch::Device& device) {
  const int64_t grid = options.grid, bands = options.head_width / 4;
  TORCH_CHECK(options.head_width % 4 == 0, "the width of a head must be a multiple of 4, got ",
              options.head_width);
  const auto kind = torch::dtype(torch::kFloat).device(device);
  const auto frequencies = 1 / torch::pow(kTemperature, torch::arange(bands, kind) /
                                                            static_cast<double>(bands));  // [C/4]
  const auto places = torch::arange(1, grid + 1, kind) / static_cast<double>(grid) *
                      static_cast<double>(options.trained_grid);      // [grid]
  const auto turns = places.unsqueeze(1) * frequencies.unsqueeze(0);  // [grid, C/4]
  const auto columns = turns.unsqueeze(0).expand({grid, grid, bands});
  const auto rows = turns.unsqueeze(1).expand({grid, grid, bands});
  auto angles = torch::cat({columns, rows}, -1).reshape({grid * grid, 2 * bands});  // [N, C/2]
  if (options.class_token) angles = torch::cat({torch::zeros({1, 2 * bands}, kind), angles});
  return {angles.cos(), angles.sin()};
}

torch::Tensor rotated(const torch::Tensor& qkv, int64_t heads, const Rotation& rotation) {
  const int64_t batch = qkv.size(0), tokens = qkv.size(1), width = qkv.size(2) / 3;
  const int64_t half = width / heads / 2;
  const auto turning =
      qkv.slice(2, 0, 2 * width).to(torch::kFloat).view({batch, tokens, 2 * heads, half, 2});
  const auto cos = rotation.cos.unsqueeze(-2), sin = rotation.sin.unsqueeze(-2);  // [.., T, 1, C/2]
  const auto first = turning.select(4, 0), second = turning.select(4, 1);  // [B, T, 2 H, C/2]
  const auto turned = torch::stack({first * cos - second * sin, second * cos + first * sin}, -1)
                          .view({batch, tokens, 2 * width});  // [B, T, 2 D]
  return torch::cat({turned.to(qkv.scalar_type()), qkv.slice(2, 2 * width)}, 2);
}

}  // namespace opencloc
