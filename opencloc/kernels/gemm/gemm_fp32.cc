#include "opencloc/kernels/gemm/gemm_fp32.h"

#include <algorithm>
#include <new>
#include <string>
#include <string_view>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/kernels/gemm/onednn.h"
#include "opencloc/kernels/isa/isa.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {
namespace {

// Whether oneDNN can be used. It is capped, for the whole process, only where it must be, since a
// host program may use it too; OPENCLOC_ISA, which is for measurements, caps it further (isa.cc
// reports a wrong value; here it only must not throw).
bool choose_onednn_isa() {
  const bool dangerous = amx_palette_hidden(read_amx_leaves());
  const std::string_view isa = wanted_isa();
  if (!dangerous && isa != "avx2" && isa != "scalar") return true;
  dnnl_cpu_isa_t cap = dnnl_cpu_isa_avx512_core_bf16;
  if (isa == "avx2") cap = dnnl_cpu_isa_avx2;
  if (isa == "scalar") cap = dnnl_cpu_isa_sse41;
  if (onednn().set_max_cpu_isa(cap) == dnnl_success) return true;
  if (!dangerous)
    log::warn("oneDNN was in use before OPENCLOC_ISA={} could be told to it", std::string(isa));
  return !dangerous;
}

// How C is cut: up to two blocks per thread of about equal size, none with a side under kSmallest.
struct Blocks {
  Blocks(int64_t m, int64_t n) : m_(m), n_(n) {
    constexpr int64_t kSmallest = 64;
    const int64_t wanted = thread_count() == 1 ? 1 : 2 * thread_count();
    const int64_t most_rows = std::max<int64_t>(1, m / kSmallest);
    const int64_t most_columns = std::max<int64_t>(1, n / kSmallest);
    // As many blocks as are wanted; among equal numbers the one whose blocks are the most square.
    int64_t squarest = 0;
    for (int64_t r = 1; r <= std::min(wanted, most_rows); ++r) {
      const int64_t c = std::min(wanted / r, most_columns), bent = std::abs(m / r - n / c);
      if (r * c < rows * columns || (r * c == rows * columns && r > 1 && bent >= squarest))
        continue;
      rows = r;
      columns = c;
      squarest = bent;
    }
  }
  int64_t row(int64_t i) const { return edge(m_, rows, i); }
  int64_t column(int64_t i) const { return edge(n_, columns, i); }

  int64_t rows = 1, columns = 1;

 private:
  static int64_t edge(int64_t side, int64_t parts, int64_t i) {
    return i == parts ? side : side * i / parts / 16 * 16;
  }
  int64_t m_, n_;
};

}  // namespace

bool prepare_onednn() {
  static const bool usable = choose_onednn_isa();
  return usable;
}

void gemm_fp32(const GemmFp32& g, const float* a, const float* b, float* c) {
  if (g.m == 0 || g.n == 0) return;
  if (!prepare_onednn()) {
    throw Error::failed(
        "oneDNN would end this process: the system shows AMX and hides its tiles, and oneDNN was "
        "in use before it could be kept off them",
        "", "load a model before the other users of oneDNN");
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
  const Blocks blocks(g.m, g.n);
  parallel_items(blocks.rows * blocks.columns, [&](int64_t i) {
    const int64_t row = i / blocks.columns, column = i % blocks.columns;
    const int64_t top = blocks.row(row), bottom = blocks.row(row + 1);
    const int64_t left = blocks.column(column), right = blocks.column(column + 1);
    const OneOpenMpThread one_thread;  // the threads share the work already
    const dnnl_status_t status =
        onednn().sgemm(flag(g.transpose_a), flag(g.transpose_b), bottom - top, right - left, g.k,
                       1.0f, a + (g.transpose_a == Transpose::kYes ? top : top * g.lda), g.lda,
                       b + (g.transpose_b == Transpose::kYes ? left * g.ldb : left), g.ldb, g.beta,
                       c + top * g.ldc + left, g.ldc);
    if (status == dnnl_out_of_memory) throw std::bad_alloc();
    if (status != dnnl_success) {
      throw Error::failed("matrix product failed, oneDNN status " + std::to_string(status));
    }
  });
}

}  // namespace opencloc::kernels
