// Ferret's spatial-aware visual sampler (You et al., "Ferret: Refer and Ground Anything Anywhere at
// Any Granularity", 2023, section 3.1): a region of any shape is a cloud of points within it, which
// two rounds of a point network draw together into one vector.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/base/rng.h"
#include "opencloc/model/layers/layers.h"

namespace opencloc {

struct RegionSamplerConfig {
  int64_t token_width = 0;  // D, of the image's tokens
  int64_t width = 0;        // H, of the language model
  int64_t points = 512;     // drawn within a region
  // A round: so many of the points are kept, each of which reads from so many neighbours.
  struct Round {
    int64_t kept = 0;
    int64_t neighbours = 0;
  };
  std::vector<Round> rounds{{128, 24}, {32, 24}};
};

// Parameters: diff_projector_list.N [D + 2, D + 2], agg_projector_list.N.{net.0 [D, 2 (D + 2)],
// norm}, flatten_projector [D, kept D], dim_projector [H, D], as Ferret names them.
class RegionSamplerImpl : public torch::nn::Module {
 public:
  explicit RegionSamplerImpl(const RegionSamplerConfig& config);

  const RegionSamplerConfig& config() const { return config_; }

  // R regions -> [R, H]. tokens [B, T, D] of a tower, from before the projector; image_index [R];
  // points [R, P, 2] (x, y in [0, 1]), in random order: the first one of each region begins the
  // choice of the farthest.
  torch::Tensor forward(const torch::Tensor& tokens, const torch::Tensor& image_index,
                        const torch::Tensor& points);

 private:
  struct Round {
    RegionSamplerConfig::Round size;
    Linear difference{nullptr}, gather{nullptr};
    LayerNorm norm{nullptr};
  };
  RegionSamplerConfig config_;
  std::vector<Round> rounds_;
  Linear flatten_{nullptr}, out_{nullptr};
};
TORCH_MODULE(RegionSampler);

// What the tokens' grid says at points, between the centres of its corner patches (Ferret's
// grid_sample with align_corners). tokens [B, T, D], image_index [R], points [R, P, 2] (x, y) ->
// [R, P, D] F32
torch::Tensor tokens_at(const torch::Tensor& tokens, const torch::Tensor& image_index,
                        const torch::Tensor& points);

// `count` pixels of a box in a picture of width x height, all different where it has as many, in
// random order -> (x, y) as shares of the sides. box: x0 y0 x1 y1 in [0, 1].
std::vector<std::array<float, 2>> points_in_box(const std::array<float, 4>& box, int64_t width,
                                                int64_t height, int64_t count, Rng& rng);

}  // namespace opencloc
