#include "opencloc/bench/precision.h"

#include <algorithm>

#include "opencloc/kernels/isa/peak.h"
#include "opencloc/model/quantized.h"

namespace opencloc::bench {
namespace {

constexpr BenchPrecision kPrecisions[] = {
    {"bf16", Precision::kBf16, measured_peak_bf16, nullptr},
    {"int8", Precision::kBf16, measured_peak_int8, quantize_towers},
    {"fp32", Precision::kFp32, measured_peak_fp32, nullptr},
};

}  // namespace

std::vector<BenchPrecision> precisions_of(const BenchOptions& options) {
  const auto& wanted = options.precisions;
  std::vector<BenchPrecision> chosen;
  for (const BenchPrecision& precision : kPrecisions) {
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), precision.name) != wanted.end()) {
      chosen.push_back(precision);
    }
  }
  return chosen;
}

double measured_peak_bf16() {
  static const double peak = kernels::peak_bf16_gflops();
  return peak;
}
double measured_peak_int8() {
  static const double peak = kernels::peak_int8_gops();
  return peak;
}
double measured_peak_fp32() {
  static const double peak = kernels::peak_fp32_gflops();
  return peak;
}

void apply(const BenchPrecision& precision, Cloc& model) {
  model->set_precision(precision.products);
  if (precision.prepare != nullptr) precision.prepare(model);
}

}  // namespace opencloc::bench
