// The functions of oneDNN that we call.
#pragma once

#include <dnnl.h>

namespace opencloc::kernels {

struct OneDnn {
  decltype(&dnnl_sgemm) sgemm;
  decltype(&dnnl_set_max_cpu_isa) set_max_cpu_isa;
};

// Linked where libtorch uses the same oneDNN (Debian's does). PyTorch's own builds have another
// version inside and show some of its names: mixed up, products fail in one of the two ("oneDNN
// status 3"). With those ours is loaded apart. Throws Error where it cannot be.
const OneDnn& onednn();

}  // namespace opencloc::kernels
