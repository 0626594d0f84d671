#include "opencloc/model/device.h"

#include <string>

#include <dlfcn.h>
#include <torch/cuda.h>

#include "opencloc/base/error.h"
#include "opencloc/ops/torch_compat.h"

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

// The major number of a GPU's compute capability, 9 for Hopper; 0: it does not say.
int generation(int gpu) {
  constexpr int kComputeCapabilityMajor = 75;  // cudaDevAttrComputeCapabilityMajor
  using Get = int (*)(int* value, int attribute, int device);
  const auto get = reinterpret_cast<Get>(::dlsym(RTLD_DEFAULT, "cudaDeviceGetAttribute"));
  int major = 0;
  return get != nullptr && get(&major, kComputeCapabilityMajor, gpu) == 0 ? major : 0;
}

torch::Device gpu_of(int local_rank) {
  const auto count = static_cast<int>(torch::cuda::device_count());
  const int gpu = count > 0 ? local_rank % count : 0;
  if (generation(gpu) == 9) ops::prefer_cudnn_attention();
  return {torch::kCUDA, static_cast<c10::DeviceIndex>(gpu)};
}

}  // namespace

torch::Device parse_device(std::string_view name, int local_rank) {
  if (name == "cpu") return torch::kCPU;
  if (name == "auto") return has_cuda() ? gpu_of(local_rank) : torch::kCPU;
  if (name != "cuda") {
    throw Error::input("unknown device \"" + std::string(name) + "\"", "setting 'device'",
                       "use auto, cpu or cuda");
  }
  if (!has_cuda()) {
    throw Error::input("no CUDA device can be used", "setting 'device=cuda'",
                       "use the setting 'device=cpu', or build with a libtorch that has CUDA");
  }
  return gpu_of(local_rank);
}

Backend parse_backend(std::string_view name) {
  if (name == "kernels") return Backend::kKernels;
  if (name == "torch") return Backend::kTorch;
  throw Error::input("unknown backend \"" + std::string(name) + "\"", "setting 'backend'",
                     "use kernels or torch");
}

Precision parse_precision(std::string_view name) {
  if (name == "fp32") return Precision::kFp32;
  if (name == "bf16") return Precision::kBf16;
  throw Error::input("unknown precision \"" + std::string(name) + "\"", "setting 'precision'",
                     "use fp32 or bf16");
}

}  // namespace opencloc
