#include "opencloc/kernels/isa/kernel_table.h"

#include "opencloc/kernels/isa/isa.h"

namespace opencloc::kernels {

const KernelTable& kernel_table() {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAmx:
      return amx_table();
    case Isa::kAvx512Bf16:
      return avx512_bf16_table();
    case Isa::kAvx512:
      return has_vnni() ? avx512_vnni_table() : avx512_table();
    case Isa::kAvx2:
      return avx2_table();
#endif
    default:
      return scalar_table();
  }
}

}  // namespace opencloc::kernels
