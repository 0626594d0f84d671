#include "opencloc/model/device.h"

#include <string>

#include <dlfcn.h>
#include <torch/cuda.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

// libtorch has its CUDA part, cuBLAS and cuDNN in libraries of their own. Loading them takes a
// second, so nothing links them: they are loaded where there is a driver, before libtorch is first
// asked for CUDA, since it remembers that there was none.
bool has_cuda() {
  [[maybe_unused]] static const bool loaded =
      ::dlopen("libcuda.so.1", RTLD_LAZY) != nullptr &&
      ::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr;
  return torch::cuda::is_available();
}

}  // namespace

torch::Device parse_device(std::string_view name) {
  if (name == "cpu") return torch::kCPU;
  if (name == "auto") return has_cuda() ? torch::kCUDA : torch::kCPU;
  if (name != "cuda") {
    throw Error::input("unknown device \"" + std::string(name) + "\"", "setting 'device'",
                       "use auto, cpu or cuda");
  }
  if (!has_cuda()) {
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
