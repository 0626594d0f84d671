// The loops of impl/ compiled for this instruction set; CMakeLists.txt gives the flags.
#if defined(__x86_64__)
#include "opencloc/kernels/impl/attention.inl"
#include "opencloc/kernels/impl/attention_bf16.inl"
#include "opencloc/kernels/impl/bf16.inl"
#include "opencloc/kernels/impl/block.inl"
#include "opencloc/kernels/impl/block_int8.inl"
#include "opencloc/kernels/impl/finish.inl"
#include "opencloc/kernels/impl/gelu.inl"
#include "opencloc/kernels/impl/int8.inl"
#include "opencloc/kernels/impl/layer_norm.inl"
#include "opencloc/kernels/impl/optimizer.inl"
#include "opencloc/kernels/impl/similarity.inl"
#include "opencloc/kernels/impl/table.inl"

namespace opencloc::kernels {
const KernelTable& avx512_bf16_table() { return kTable; }
}  // namespace opencloc::kernels
#endif
