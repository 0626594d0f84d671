// The loops of impl/ compiled for this instruction set; CMakeLists.txt gives the flags.
#include "opencloc/kernels/impl/all.inl"

namespace opencloc::kernels {
const KernelTable& scalar_table() { return kTable; }
}  // namespace opencloc::kernels
