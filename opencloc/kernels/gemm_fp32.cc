#include "opencloc/kernels/gemm_fp32.h"

#include <dnnl.hpp>
#include <string>
#include <string_view>

#include "opencloc/base/error.h"
#include "opencloc/kernels/isa.h"

namespace opencloc::kernels {
namespace {

// oneDNN 2.6 reads the AMX palette from CPUID leaves that some hypervisors hide and then dies of an
// illegal instruction. It is capped when the program is loaded, before anything can have used it;
// libtorch shares this library, so its products are kept off that path too. OPENCLOC_ISA caps it
// further (isa.cc reports a wrong value; here it only must not throw).
const bool capped = [] {
  const std::string_view isa = wanted_isa();
  dnnl::cpu_isa cap = dnnl::cpu_isa::avx512_core_bf16;
  if (isa == "avx2") cap = dnnl::cpu_isa::avx2;
  if (isa == "scalar") cap = dnnl::cpu_isa::sse41;
  return dnnl::set_max_cpu_isa(cap) == dnnl::status::success;
}();

}  // namespace

void gemm_fp32(const GemmFp32& g, const float* a, const float* b, float* c) {
  if (g.m == 0 || g.n == 0) return;
  if (!capped) {
    throw Error::failed("oneDNN was in use before its instruction set could be chosen", "",
                        "load libopencloc before the other users of oneDNN");
  }
  const auto flag = [](Transpose t) { return t == Transpose::kYes ? 'T' : 'N'; };
  if (g.k == 0) {
    for (int64_t row = 0; row < g.m; ++row) {
      for (int64_t col = 0; col < g.n; ++col) {
        float& value = c[row * g.ldc + col];
        value = g.beta == 0 ? 0 : g.beta * value;
      }
    }
    return;
  }
  const dnnl_status_t status = dnnl_sgemm(flag(g.transpose_a), flag(g.transpose_b), g.m, g.n, g.k,
                                          1.0f, a, g.lda, b, g.ldb, g.beta, c, g.ldc);
  if (status != dnnl_success) {
    throw Error::failed("matrix product failed, oneDNN status " + std::to_string(status));
  }
}

}  // namespace opencloc::kernels
