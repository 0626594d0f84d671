#include "opencloc/objective/entity_head.h"

#include <cmath>

#include <torch/utils.h>

#include "opencloc/base/parallel_for.h"
#include "opencloc/base/random_streams.h"
#include "opencloc/base/rng.h"

namespace opencloc {

EntityHead::EntityHead(int64_t classes, int64_t width, uint64_t seed)
    : values_(torch::empty({classes, width})),
      first_moments_(torch::zeros({classes, width})),
      second_moments_(torch::zeros({classes, width})),
      steps_(torch::zeros({classes}, torch::kInt64)) {
  constexpr int64_t kBlock = 1024;  // classes
  const double scale = 1 / std::sqrt(static_cast<double>(width));
  auto* values = values_.data_ptr<float>();
  parallel_for((classes + kBlock - 1) / kBlock, available_cpus(), [&](int64_t block) {
    const int64_t end = std::min(classes, (block + 1) * kBlock);
    for (int64_t row = block * kBlock; row < end; ++row) {
      Rng rng(seed, {random_stream::kEntityRows, static_cast<uint64_t>(row)});
      for (int64_t i = 0; i < width; ++i)
        values[row * width + i] = static_cast<float>(scale * rng.normal());
    }
  });
}

void EntityHead::to(torch::Device device) {
  for (torch::Tensor* tensor : {&values_, &first_moments_, &second_moments_, &steps_})
    *tensor = tensor->to(device);
}

std::vector<std::pair<std::string, torch::Tensor>> EntityHead::tensors() const {
  return {{"entity_head.weight", values_},
          {"entity_head.m", first_moments_},
          {"entity_head.v", second_moments_},
          {"entity_head.steps", steps_}};
}

torch::Tensor EntityHead::use(const torch::Tensor& ids) {
  ids_ = ids;
  rows_ = values_.index_select(0, ids).detach().requires_grad_();
  return rows_;
}

void EntityHead::forget() {
  ids_.reset();
  rows_.reset();
}

torch::Tensor EntityHead::gradient() const {
  return rows_.grad().defined() ? rows_.grad() : torch::zeros_like(rows_.detach());
}

}  // namespace opencloc
