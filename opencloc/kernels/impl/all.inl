// Every loop of this folder, for the instruction set that the including isa/table_*.cc is compiled for.
#if defined(__AMX_TILE__)
#include "opencloc/kernels/impl/amx.inl"  // first: it replaces block.inl and block_int8.inl
#endif
#include "opencloc/kernels/impl/attention.inl"
#include "opencloc/kernels/impl/attention_bf16.inl"
#include "opencloc/kernels/impl/bf16.inl"
#include "opencloc/kernels/impl/block.inl"
#include "opencloc/kernels/impl/block_fp32.inl"
#include "opencloc/kernels/impl/block_int8.inl"
#include "opencloc/kernels/impl/finish.inl"
#include "opencloc/kernels/impl/gelu.inl"
#include "opencloc/kernels/impl/int8.inl"
#include "opencloc/kernels/impl/layer_norm.inl"
#include "opencloc/kernels/impl/optimizer.inl"
#include "opencloc/kernels/impl/scan.inl"
#include "opencloc/kernels/impl/similarity.inl"
#include "opencloc/kernels/impl/table.inl"
