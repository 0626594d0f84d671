#include <array>

#include <torch/torch.h>

#include "opencloc/cli/bench_subjects.h"
#include "opencloc/kernels/isa.h"
#include "opencloc/kernels/peak.h"

namespace opencloc::cli {
namespace {

void report_rate(const BenchFlags& flags, const std::string& name, double gflops) {
  Figure figure;
  figure.name = name;
  figure.gflops = gflops;
  report(flags, figure);
}

void report_bandwidth(const BenchFlags& flags, const std::string& name, double gbytes) {
  Figure figure;
  figure.name = name;
  figure.more["gbytes_per_s"] = gbytes;
  report(flags, figure);
}

}  // namespace

void bench_peak(const BenchFlags& flags) {
  const int all = thread_count(flags.common);
  const kernels::Isa active = kernels::active_isa();
  std::vector<int> counts{1};
  if (all > 1) counts.push_back(all);
  for (const int threads : counts) {
    at::set_num_threads(threads);
    const std::string suffix = "/t" + std::to_string(threads);
    report_rate(flags, "peak/fp32" + suffix, kernels::peak_fp32_gflops());
    for (const kernels::Isa isa : kernels::supported_isas()) {
      kernels::set_active_isa(isa);
      const std::string place = std::string("/") + kernels::to_string(isa) + suffix;
      report_rate(flags, "peak/bf16" + place, kernels::peak_bf16_gflops());
      report_rate(flags, "peak/int8" + place, kernels::peak_int8_gops());
    }
    kernels::set_active_isa(active);
    report_bandwidth(flags, "peak/read" + suffix, kernels::read_gbytes_per_s());
    report_bandwidth(flags, "peak/copy" + suffix, kernels::copy_gbytes_per_s());
  }
  at::set_num_threads(all);
}

}  // namespace opencloc::cli
