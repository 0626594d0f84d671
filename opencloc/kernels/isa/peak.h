// What this machine can do at best, for "share of peak" in measurements.
#pragma once

namespace opencloc::kernels {

// GFLOP/s of bf16 block products whose operands never leave the first-level cache, on all threads.
double peak_bf16_gflops();
// The same of int8 block products (u8 x s8, 32-bit sums), in 10^9 operations a second.
double peak_int8_gops();
// GFLOP/s of F32 multiply-adds in registers, in the widest vectors this processor has (whatever
// OPENCLOC_ISA says), on all threads.
double peak_fp32_gflops();
// GB/s of reading F32 arrays far larger than the caches, on all threads.
double read_gbytes_per_s();
// GB/s of reads plus writes when copying F32 arrays far larger than the caches, on all threads.
double copy_gbytes_per_s();

}  // namespace opencloc::kernels
