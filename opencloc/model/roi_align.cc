#include "opencloc/model/roi_align.h"

#include <cmath>

#include "opencloc/model/features.h"
#include "opencloc/model/initial.h"

namespace opencloc {
namespace {

constexpr int64_t kSamples = 4;  // per axis

// Weight of each of `cells` grid rows (or columns) for boxes spanning [low, high] (each [R], in [0,
// 1]).
torch::Tensor axis_weights(const torch::Tensor& low, const torch::Tensor& high, int64_t cells) {
  const auto steps =
      (torch::arange(kSamples, low.options()) + 0.5) / static_cast<double>(kSamples);  // [S]
  auto places = low.unsqueeze(1) + (high - low).unsqueeze(1) * steps;                  // [R, S]
  places = (places * static_cast<double>(cells) - 0.5)
               .clamp(0, static_cast<double>(cells - 1));  // cell centres at 0, 1, ...
  const auto distance =
      (places.unsqueeze(2) - torch::arange(cells, low.options())).abs();  // [R, S, cells]
  return (1 - distance).clamp_min(0).mean(1);                             // [R, cells]
}

}  // namespace

torch::Tensor roi_align(const torch::Tensor& tokens, const torch::Tensor& boxes,
                        const torch::Tensor& image_index) {
  const int64_t grid = patch_grid(tokens);
  const auto columns = axis_weights(boxes.select(1, 0), boxes.select(1, 2), grid);  // [R, grid]
  const auto rows = axis_weights(boxes.select(1, 1), boxes.select(1, 3), grid);     // [R, grid]
  const auto weights = (rows.unsqueeze(2) * columns.unsqueeze(1)).flatten(1);       // [R, N]
  const auto patches = patch_tokens(tokens).index_select(0, image_index);           // [R, N, D]
  return (patches * weights.unsqueeze(2)).sum(1);                                   // [R, D]
}

RoiExtractorImpl::RoiExtractorImpl(const ModelConfig& config) {
  const int64_t width = config.vision.width;
  ln_post_ = register_module("ln_post", LayerNorm(width));
  proj_ = register_parameter("proj", initial::normal({width, config.embed_dim},
                                                     std::pow(static_cast<double>(width), -0.5)));
}

torch::Tensor RoiExtractorImpl::forward(const torch::Tensor& tokens, const torch::Tensor& boxes,
                                        const torch::Tensor& image_index) {
  return ops::linear(ln_post_(roi_align(tokens, boxes, image_index)), proj_.t());  // [R, E]
}

}  // namespace opencloc
