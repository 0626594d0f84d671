#include "opencloc/model/cloc/roi_align.h"

#include <cmath>

#include <ATen/ops/embedding_bag.h>

#include "opencloc/model/clip/features.h"
#include "opencloc/model/layers/initial.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

// How many samples a box can have, of which those beyond its own weigh nothing. A device is not
// asked: as many as there are cells.
int64_t most_samples(const torch::Tensor& samples, int64_t cells) {
  if (!ops::runs_on_kernels({samples})) return cells;
  return samples.numel() > 0 ? samples.max().item<int64_t>() : 0;
}

// Weight of each of `cells` grid rows (or columns) for boxes spanning [low, high] (each [R], in [0,
// 1]).
torch::Tensor axis_weights(const torch::Tensor& low, const torch::Tensor& high, int64_t cells) {
  const auto start = low * static_cast<double>(cells),
             span = high * static_cast<double>(cells) - start;
  const auto samples = (span - kRoiRounding).ceil().clamp(1, static_cast<double>(cells));  // [R]
  const int64_t most = most_samples(samples, cells);                                       // S
  const auto number = torch::arange(most, low.options());                                  // [S]
  const auto steps = (number + 0.5) / samples.unsqueeze(1);                                // [R, S]
  const auto places =
      (start.unsqueeze(1) + span.unsqueeze(1) * steps - 0.5)
          .clamp(0, static_cast<double>(cells - 1));  // [R, S], cell centres at 0, 1, ...
  const auto distance =
      (places.unsqueeze(2) - torch::arange(cells, low.options())).abs();  // [R, S, cells]
  const auto counts = number < samples.unsqueeze(1);                      // [R, S]
  return ((1 - distance).clamp_min(0) * counts.unsqueeze(2)).sum(1) / samples.unsqueeze(1);
}

}  // namespace

torch::Tensor roi_align(const torch::Tensor& tokens, const torch::Tensor& boxes,
                        const torch::Tensor& index) {
  const int64_t grid = patch_grid(tokens);
  const auto image_index = ops::to_device(index, tokens.device());
  const auto columns = axis_weights(boxes.select(1, 0), boxes.select(1, 2), grid);  // [R, grid]
  const auto rows = axis_weights(boxes.select(1, 1), boxes.select(1, 3), grid);     // [R, grid]
  const auto weights = (rows.unsqueeze(2) * columns.unsqueeze(1)).flatten(1);       // [R, N]
  // In F32: libtorch's CPU part has no bags of bf16.
  const auto found = patch_tokens(tokens);
  const auto patches =
      found.scalar_type() == torch::kBFloat16 ? found.to(torch::kFloat) : found;  // [B, N, D]
  // A sum of weighted rows per region, which copies no patches: "bags" of libtorch's embeddings.
  const auto bags = image_index.unsqueeze(1) * patches.size(1) +
                    torch::arange(patches.size(1), image_index.options());  // [R, N]
  return std::get<0>(
      at::embedding_bag(patches.flatten(0, 1), bags.flatten(),
                        torch::arange(bags.size(0), image_index.options()) * patches.size(1),
                        /*scale_grad_by_freq=*/false, /*mode: sum*/ 0, /*sparse=*/false,
                        weights.flatten().to(patches.scalar_type())));  // [R, D]
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
