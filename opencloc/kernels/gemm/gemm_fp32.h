// F32 matrix product through oneDNN.
#pragma once

#include <cstdint>

namespace opencloc::kernels {

enum class Transpose { kNo, kYes };

// Row-major C [m, n] = beta * C + op(A) [m, k] * op(B) [k, n]. lda, ldb, ldc: elements between rows
// as stored (A is [k, m] in memory when transposed). Threaded; repeatable for one number of
// threads, after which the blocks of C are cut.
struct GemmFp32 {
  Transpose transpose_a = Transpose::kNo;
  Transpose transpose_b = Transpose::kNo;
  int64_t m = 0, n = 0, k = 0;
  int64_t lda = 0, ldb = 0, ldc = 0;
  float beta = 0;
};
// Decides, once per process, how oneDNN is used; gemm_fp32() asks by itself. oneDNN 2.6 reads AMX's
// palette from CPUID leaves that some hypervisors hide, and then dies of an illegal instruction:
// there, and only there, it is capped below AMX for the whole process (libtorch shares it). A
// program of our own asks before anything uses oneDNN; a library leaves others' settings alone.
// False where it must be capped and was in use already: gemm_fp32() then throws Error (failed).
bool prepare_onednn();
void gemm_fp32(const GemmFp32& gemm, const float* a, const float* b, float* c);

}  // namespace opencloc::kernels
