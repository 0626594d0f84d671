// The loops of impl/ compiled for this instruction set; CMakeLists.txt gives the flags.
#if defined(__x86_64__)
#include "opencloc/kernels/impl/all.inl"

namespace opencloc::kernels {
const KernelTable& avx512_bf16_table() { return kTable; }
}  // namespace opencloc::kernels
#endif
