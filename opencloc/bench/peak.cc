#include "opencloc/kernels/isa/peak.h"

#include <array>

#include "opencloc/bench/subjects.h"
#include "opencloc/kernels/isa/isa.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::bench {
namespace {

void report_rate(const BenchOptions& options, const std::string& name, double gflops) {
  Figure figure;
  figure.name = name;
  figure.gflops = gflops;
  report(options, figure);
}

void report_bandwidth(const BenchOptions& options, const std::string& name, double gbytes) {
  Figure figure;
  figure.name = name;
  figure.more["gbytes_per_s"] = gbytes;
  report(options, figure);
}

}  // namespace

void peak(const BenchOptions& options) {
  const int all = options.threads;
  const kernels::Isa active = kernels::active_isa();
  std::vector<int> counts{1};
  if (all > 1) counts.push_back(all);
  for (const int threads : counts) {
    kernels::set_thread_count(threads);
    const std::string suffix = "/t" + std::to_string(threads);
    report_rate(options, "peak/fp32" + suffix, kernels::peak_fp32_gflops());
    for (const kernels::Isa isa : kernels::supported_isas()) {
      kernels::set_active_isa(isa);
      const std::string place = std::string("/") + kernels::to_string(isa) + suffix;
      report_rate(options, "peak/bf16" + place, kernels::peak_bf16_gflops());
      report_rate(options, "peak/int8" + place, kernels::peak_int8_gops());
    }
    kernels::set_active_isa(active);
    report_bandwidth(options, "peak/read" + suffix, kernels::read_gbytes_per_s());
    report_bandwidth(options, "peak/copy" + suffix, kernels::copy_gbytes_per_s());
  }
  kernels::set_thread_count(all);
}

}  // namespace opencloc::bench
