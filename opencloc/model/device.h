// Devices and precisions as users type them.
#pragma once

#include <string_view>

#include <torch/types.h>

#include "opencloc/ops/precision.h"

namespace opencloc {

// "auto" (CUDA where libtorch has it and a GPU is there, else the CPU), "cpu" or "cuda".
// Throws Error (input) for other names and for "cuda" where there is none.
torch::Device parse_device(std::string_view name);

// "fp32" or "bf16". Throws Error (input) for other names.
Precision parse_precision(std::string_view name);

}  // namespace opencloc
