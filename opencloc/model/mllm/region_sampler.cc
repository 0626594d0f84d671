#include "opencloc/model/mllm/region_sampler.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>

#include <torch/nn/functional/vision.h>
#include <torch/nn/modules/container/modulelist.h>

#include "opencloc/model/clip/features.h"

namespace opencloc {
namespace {

using torch::Tensor;

// values [R, P, D], index [R, ...] -> [R, ..., D]
Tensor at(const Tensor& values, const Tensor& index) {
  const auto flat = index.flatten(1).unsqueeze(-1).expand({-1, -1, values.size(2)});
  auto shape = index.sizes().vec();
  shape.push_back(values.size(2));
  return values.gather(1, flat).view(shape);
}

// Each next point is the one farthest from those chosen, beginning with the first.
// points [R, P, 2] -> [R, kept]
Tensor farthest(const Tensor& points, int64_t kept) {
  const int64_t regions = points.size(0);
  auto distance = torch::full({regions, points.size(1)}, 1e10, points.options());
  auto next = torch::zeros({regions}, points.options().dtype(torch::kInt64));
  std::vector<Tensor> chosen;
  for (int64_t i = 0; i < kept; ++i) {
    chosen.push_back(next);
    const auto centre = at(points, next.unsqueeze(1));                // [R, 1, 2]
    distance = distance.minimum((points - centre).square().sum(-1));  // [R, P]
    next = distance.argmax(-1);
  }
  return torch::stack(chosen, 1);
}

// points [R, P, 2], anchors [R, K, 2] -> [R, K, neighbours]
Tensor nearest(const Tensor& points, const Tensor& anchors, int64_t neighbours) {
  const auto distance = (anchors.unsqueeze(2) - points.unsqueeze(1)).square().sum(-1);  // [R, K, P]
  return std::get<1>(distance.topk(neighbours, -1, /*largest=*/false, /*sorted=*/false));
}

}  // namespace

RegionSamplerImpl::RegionSamplerImpl(const RegionSamplerConfig& config) : config_(config) {
  const int64_t width = config.token_width, with_place = width + 2;
  auto differences = register_module("diff_projector_list", torch::nn::ModuleList());
  auto gathers = register_module("agg_projector_list", torch::nn::ModuleList());
  int64_t points = config.points;
  for (const auto& size : config.rounds) {
    TORCH_CHECK(
        size.kept >= 1 && size.kept <= points && size.neighbours >= 1 && size.neighbours <= points,
        "a round of a region sampler keeps ", size.kept, " points with ", size.neighbours,
        " neighbours, of ", points);
    points = size.kept;
    Round round{size, Linear(with_place, with_place), Linear(2 * with_place, width),
                LayerNorm(width)};
    differences->push_back(round.difference);
    auto gather = std::make_shared<torch::nn::Module>("gather");
    auto net = gather->register_module("net", torch::nn::ModuleList());
    net->push_back(round.gather);
    gather->register_module("norm", round.norm);
    gathers->push_back(std::move(gather));
    rounds_.push_back(std::move(round));
  }
  flatten_ = register_module("flatten_projector", Linear(width * points, width));
  out_ = register_module("dim_projector", Linear(width, config.width));
}

Tensor RegionSamplerImpl::forward(const Tensor& tokens, const Tensor& image_index,
                                  const Tensor& points) {
  TORCH_CHECK(points.dim() == 3 && points.size(1) == config_.points && points.size(2) == 2,
              "points must be [R, ", config_.points, ", 2], got ", points.sizes());
  auto values = tokens_at(tokens, image_index, points);  // [R, P, D]
  auto places =
      points.flip(-1).to(values.scalar_type());  // row, column: as Ferret's weights have it
  for (auto& round : rounds_) {
    const auto kept = farthest(places, round.size.kept);                           // [R, K]
    const auto anchors = at(places, kept);                                         // [R, K, 2]
    const auto near = nearest(places, anchors, round.size.neighbours);             // [R, K, k]
    const auto anchor = torch::cat({at(values, kept), anchors}, -1).unsqueeze(2);  // [R, K, 1, D+2]
    const auto around = torch::cat({at(values, near), at(places, near)}, -1);      // [R, K, k, D+2]
    const auto difference = round.difference(around - anchor);
    auto gathered =
        round.gather(torch::cat({difference, anchor.expand_as(difference)}, -1));  // [R, K, k, D]
    values = round.norm(torch::relu(gathered)).amax(2);                            // [R, K, D]
    places = anchors;
  }
  return out_(flatten_(values.flatten(1)));  // [R, H]
}

Tensor tokens_at(const Tensor& tokens, const Tensor& image_index, const Tensor& points) {
  const int64_t grid = patch_grid(tokens);
  const auto maps = patch_tokens(tokens)
                        .to(torch::kFloat)
                        .view({tokens.size(0), grid, grid, tokens.size(2)})
                        .permute({0, 3, 1, 2})
                        .index_select(0, image_index);  // [R, D, g, g]
  namespace F = torch::nn::functional;
  const auto options = F::GridSampleFuncOptions()
                           .mode(torch::kBilinear)
                           .padding_mode(torch::kZeros)
                           .align_corners(true);
  const auto where = (2 * points - 1).to(torch::kFloat).unsqueeze(2);  // [R, P, 1, 2]
  return F::grid_sample(maps, where, options).squeeze(3).transpose(1, 2);
}

std::vector<std::array<float, 2>> points_in_box(const std::array<float, 4>& box, int64_t width,
                                                int64_t height, int64_t count, Rng& rng) {
  TORCH_CHECK(width > 0 && height > 0 && count > 0, "a picture of ", width, " x ", height,
              " pixels, ", count, " points");
  constexpr double kRounding = 1e-3;  // pixels: of shares in F32
  // The pixels of one axis, at least one.
  const auto range = [](float low, float high, int64_t side) {
    const auto in = [&](double at) {
      return std::clamp<int64_t>(static_cast<int64_t>(at), 0, side - 1);
    };
    const auto size = static_cast<double>(side);
    const int64_t begin = in(std::floor(low * size + kRounding));
    return std::pair(begin, std::max(begin, in(std::ceil(high * size - kRounding) - 1)) + 1);
  };
  const auto [left, right] = range(box[0], box[2], width);
  const auto [top, bottom] = range(box[1], box[3], height);
  const int64_t across = right - left, all = across * (bottom - top);
  // Floyd's choice of `distinct` different ones, then a shuffle: no list of all pixels is made.
  const int64_t distinct = std::min(count, all);
  std::vector<int64_t> chosen;
  for (int64_t i = all - distinct; i < all; ++i) {
    const auto pick = static_cast<int64_t>(rng.below(static_cast<uint64_t>(i + 1)));
    const bool taken = std::find(chosen.begin(), chosen.end(), pick) != chosen.end();
    chosen.push_back(taken ? i : pick);
  }
  rng.shuffle(chosen);
  while (static_cast<int64_t>(chosen.size()) < count)
    chosen.push_back(chosen[rng.below(static_cast<uint64_t>(distinct))]);
  std::vector<std::array<float, 2>> points;
  for (const int64_t pixel : chosen) {
    points.push_back({static_cast<float>(left + pixel % across) / static_cast<float>(width),
                      static_cast<float>(top + pixel / across) / static_cast<float>(height)});
  }
  return points;
}

}  // namespace opencloc
