#include "opencloc/model/device.h"

#include <string>

#include <torch/cuda.h>

#include "opencloc/base/error.h"

namespace opencloc {

torch::Device parse_device(std::string_view name) {
  if (name == "cpu") return torch::kCPU;
  if (name == "auto") return torch::cuda::is_available() ? torch::kCUDA : torch::kCPU;
  if (name != "cuda") {
    throw Error::input("unknown device \"" + std::string(name) + "\"", "setting 'device'",
                       "use auto, cpu or cuda");
  }
  if (!torch::cuda::is_available()) {
    throw Error::input("no CUDA device can be used", "setting 'device=cuda'",
                       "use the setting 'device=cpu', or build with a libtorch that has CUDA");
  }
  return torch::kCUDA;
}

Precision parse_precision(std::string_view name) {
  if (name == "fp32") return Precision::kFp32;
  if (name == "bf16") return Precision::kBf16;
  throw Error::input("unknown precision \"" + std::string(name) + "\"", "setting 'precision'",
                     "use fp32 or bf16");
}

}  // namespace opencloc
