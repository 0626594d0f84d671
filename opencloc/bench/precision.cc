#include "opencloc/bench/precision.h"

#include <algorithm>
#include <map>

#include <torch/utils.h>

#include "opencloc/kernels/isa/peak.h"
#include "opencloc/model/device.h"
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

torch::Device device_of(const BenchOptions& options) { return parse_device(options.device); }

void wait_for(const torch::Tensor& t) {
  if (!t.device().is_cpu()) (void)t.flatten().slice(0, 0, 1).cpu();
}

double peak_of(const BenchPrecision& precision, torch::Device device) {
  if (device.is_cpu()) return precision.peak();
  constexpr int64_t kSide = 8192;
  static std::map<Precision, double> measured;
  auto& peak = measured[precision.products];
  if (peak > 0) return peak;
  const auto type = precision.products == Precision::kBf16 ? torch::kBFloat16 : torch::kFloat;
  const auto a = torch::randn({kSide, kSide}, torch::TensorOptions(device).dtype(type));
  const Spent spent = time_of(1, [&] { wait_for(torch::mm(a, a)); });
  peak = 2.0 * kSide * kSide * kSide / spent.wall * 1e-9;
  return peak;
}

void apply(const BenchPrecision& precision, Cloc& model) {
  model->set_precision(precision.products);
  if (precision.prepare != nullptr) precision.prepare(model);
}

}  // namespace opencloc::bench
