// Device names as users type them.
#pragma once

#include <string_view>

#include <torch/types.h>

namespace opencloc {

// "auto" (CUDA where libtorch has it and a GPU is there, else the CPU), "cpu" or "cuda".
// Throws Error (input) for other names and for "cuda" where there is none.
torch::Device parse_device(std::string_view name);

}  // namespace opencloc
