// What happened, counted, as Prometheus reads it.
//
// Written here: Debian's prometheus-cpp comes with a web server and curl that we would not use.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace opencloc::serve {

// Values below some bounds, counted.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds)
      : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}
  void add(double value);
  // Lines of the text format; `labels` as `kind="text"`.
  std::string lines(std::string_view name, const std::string& labels) const;

 private:
  std::vector<double> bounds_;
  std::vector<int64_t> counts_;
  double sum_ = 0;
};

// Thread-safe.
class Metrics {
 public:
  void answered(const std::string& route, int status, double seconds);
  // Of work for the model or an index.
  void waited(const std::string& kind, double seconds);
  void computed(const std::string& kind, size_t batch, double seconds);

  // A number that is looked up when it is asked for.
  struct Gauge {
    std::string name, help;
    double value = 0;
    bool counter = false;  // it only grows
    std::string labels = {};
  };
  std::string text(const std::vector<Gauge>& gauges) const;

 private:
  struct Work {
    Histogram waited, batch, seconds;
  };
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, int64_t> requests_;
  std::map<std::string, Histogram> request_seconds_;
  std::map<std::string, Work> work_;
};

// Bytes of this process that lie in memory.
int64_t resident_bytes();

}  // namespace opencloc::serve
