#include "opencloc/kernels/cuda/cuda_kernels.h"

extern "C" const opencloc::kernels::cuda::Kernels* opencloc_cuda_kernels() {
  using namespace opencloc::kernels::cuda;
  static const Kernels kernels{1,
                               add_layer_norm_forward,
                               add_layer_norm_backward,
                               layer_norm_scratch,
                               gelu_forward,
                               gelu_backward,
                               gelu_scratch};
  return &kernels;
}
