// Teachers that are the moving average of what is trained (Tarvainen and Valpola, "Mean teachers",
// NeurIPS 2017).
#pragma once

#include <torch/nn/module.h>

namespace opencloc {

// teacher = momentum teacher + (1 - momentum) student, parameter by parameter; 0 copies. A tower's
// positions go to the teacher's patch grid, where that is another one (resize_positions()).
void follow(const torch::nn::Module& student, const torch::nn::Module& teacher, double momentum);

}  // namespace opencloc
