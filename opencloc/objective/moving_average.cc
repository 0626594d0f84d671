#include "opencloc/objective/moving_average.h"

#include <cmath>

#include <torch/utils.h>

#include "opencloc/model/clip/features.h"
#include "opencloc/model/clip/positions.h"

namespace opencloc {

void follow(const torch::nn::Module& student, const torch::nn::Module& teacher, double momentum) {
  const torch::NoGradGuard no_grad;
  const auto values = student.named_parameters();
  for (auto& item : teacher.named_parameters()) {
    auto value = values[item.key()];
    if (value.sizes() != item.value().sizes())
      value = resize_positions(value, patch_grid(item.value().unsqueeze(0)));
    if (momentum == 0) {
      item.value().copy_(value);
    } else {
      item.value().mul_(momentum).add_(value, 1 - momentum);
    }
  }
}

}  // namespace opencloc
