#include "opencloc/bench/figure.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>

namespace opencloc::bench {
namespace {

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

Spent time_once(const std::function<void()>& work) {
  const double cpu = processor_seconds();
  const auto began = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  return {.wall = took.count(), .cpu = processor_seconds() - cpu};
}

}  // namespace

Spent time_of(double seconds, const std::function<void()>& work) {
  const Spent first = time_once(work);
  if (first.wall >= 10 * seconds) return first;
  Spent best{.wall = 1e30};
  double spent = 0;
  int runs = 0;
  do {
    const Spent run = time_once(work);
    best.wall = std::min(best.wall, run.wall);
    best.cpu += run.cpu;
    spent += run.wall;
    ++runs;
  } while (spent < seconds);
  best.cpu /= runs;
  return best;
}

Figure figure_of(const std::string& name, double items, const Spent& spent) {
  Figure figure;
  figure.name = name;
  figure.items_per_s = items / spent.wall;
  if (spent.cpu > 0) figure.items_per_cpu_s = items / spent.cpu;
  return figure;
}

int64_t status_kib(const std::string& key) {  // "VmHWM:     1234 kB"
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::stoll(line.substr(key.size()));
  }
  return 0;
}

void report(const BenchOptions& options, const Figure& figure) {
  Json line;
  line["name"] = figure.name;
  if (figure.items_per_s > 0) line["items_per_s"] = figure.items_per_s;
  if (figure.items_per_cpu_s > 0) line["items_per_cpu_s"] = figure.items_per_cpu_s;
  if (figure.gflops > 0) line["gflops"] = figure.gflops;
  if (figure.gflops > 0 && figure.peak > 0) line["share_of_peak"] = figure.gflops / figure.peak;
  line.update(figure.more);
  if (options.json) {
    std::printf("%s\n", dump_json(line).c_str());
  } else {
    std::printf("%-44s", figure.name.c_str());
    if (figure.items_per_s > 0) std::printf(" %11.2f items/s", figure.items_per_s);
    if (figure.items_per_cpu_s > 0) std::printf(" %11.2f items/s a core", figure.items_per_cpu_s);
    if (figure.gflops > 0) std::printf(" %9.1f GFLOP/s", figure.gflops);
    if (figure.gflops > 0 && figure.peak > 0)
      std::printf(" %3.0f%% of peak", 100 * figure.gflops / figure.peak);
    for (const auto& [key, value] : figure.more.items()) {
      std::printf("  %s ", key.c_str());
      if (value.is_number_float()) {
        std::printf("%.5g", value.get<double>());
      } else {
        std::printf("%s",
                    value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
      }
    }
    std::printf("\n");
  }
  std::fflush(stdout);
}

}  // namespace opencloc::bench
