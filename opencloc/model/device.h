// Devices and precisions as users type them.
#pragma once

#include <string_view>

#include <torch/types.h>

#include "opencloc/ops/precision.h"

namespace opencloc {

// "kernels" or "torch". Throws Error (input) for other names.
Backend parse_backend(std::string_view name);

// "auto" (CUDA where libtorch has it and a GPU is there, else the CPU), "cpu" or "cuda". Of several
// GPUs process number `local_rank` of a machine takes its own, going round where there are fewer.
// Throws Error (input) for other names and for "cuda" where there is none.
torch::Device parse_device(std::string_view name, int local_rank = 0);

// "fp32" or "bf16". Throws Error (input) for other names.
Precision parse_precision(std::string_view name);

}  // namespace opencloc
