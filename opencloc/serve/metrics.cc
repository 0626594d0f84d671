#include "opencloc/serve/metrics.h"

#include <algorithm>
#include <fstream>

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

namespace opencloc::serve {
namespace {

const std::vector<double> kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                      0.25,  0.5,    1,     2.5,  5,     10,   30};
const std::vector<double> kBatch = {1, 2, 4, 8, 16, 32, 64};

std::string head(std::string_view name, std::string_view type, std::string_view help) {
  return fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

// As the text format wants the value of a label.
std::string label(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    if (c == '\n') {
      safe += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') safe += '\\';
    safe += c;
  }
  return safe;
}

}  // namespace

void Histogram::add(double value) {
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  ++counts_[static_cast<size_t>(at - bounds_.begin())];
  sum_ += value;
}

std::string Histogram::lines(std::string_view name, const std::string& labels) const {
  std::string text;
  int64_t below = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    below += counts_[i];
    const std::string bound = i < bounds_.size() ? fmt::format("{}", bounds_[i]) : "+Inf";
    text += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, labels, bound, below);
  }
  return text +
         fmt::format("{0}_sum{{{1}}} {2}\n{0}_count{{{1}}} {3}\n", name, labels, sum_, below);
}

void Metrics::answered(const std::string& route, int status, double seconds) {
  const std::lock_guard lock(mutex_);
  ++requests_[{route, status}];
  request_seconds_.try_emplace(route, kSeconds).first->second.add(seconds);
}

void Metrics::waited(const std::string& kind, double seconds) {
  const std::lock_guard lock(mutex_);
  const Work fresh{Histogram(kSeconds), Histogram(kBatch), Histogram(kSeconds)};
  work_.try_emplace(kind, fresh).first->second.waited.add(seconds);
}

void Metrics::computed(const std::string& kind, size_t batch, double seconds) {
  const std::lock_guard lock(mutex_);
  const auto at = work_.find(kind);
  if (at == work_.end()) return;
  at->second.batch.add(static_cast<double>(batch));
  at->second.seconds.add(seconds);
}

std::string Metrics::text(const std::vector<Gauge>& gauges) const {
  const std::lock_guard lock(mutex_);
  std::string text = head("opencloc_requests_total", "counter", "Answers by route and status.");
  for (const auto& [key, count] : requests_) {
    text += fmt::format("opencloc_requests_total{{route=\"{}\",code=\"{}\"}} {}\n",
                        label(key.first), key.second, count);
  }
  text += head("opencloc_request_seconds", "histogram", "From a whole request to its answer.");
  for (const auto& [route, histogram] : request_seconds_)
    text += histogram.lines("opencloc_request_seconds", "route=\"" + label(route) + "\"");
  const auto of_work = [&](std::string_view name, std::string_view help, const auto& histogram) {
    text += head(name, "histogram", help);
    for (const auto& [kind, work] : work_)
      text += histogram(work).lines(name, "kind=\"" + label(kind) + "\"");
  };
  of_work("opencloc_wait_seconds", "What work waited for the compute thread.",
          [](const Work& work) -> const Histogram& { return work.waited; });
  of_work("opencloc_batch_size", "Requests whose work was done together.",
          [](const Work& work) -> const Histogram& { return work.batch; });
  of_work("opencloc_compute_seconds", "What a batch took.",
          [](const Work& work) -> const Histogram& { return work.seconds; });
  std::string last;
  for (const Gauge& gauge : gauges) {
    if (gauge.name != last)
      text += head(gauge.name, gauge.counter ? "counter" : "gauge", gauge.help);
    last = gauge.name;
    text += gauge.name;
    if (!gauge.labels.empty()) text += "{" + gauge.labels + "}";
    text += fmt::format(" {}\n", gauge.value);
  }
  return text;
}

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t whole = 0, resident = 0;
  if (!(file >> whole >> resident)) return 0;
  return resident * ::sysconf(_SC_PAGESIZE);
}

}  // namespace opencloc::serve
