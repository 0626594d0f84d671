#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <string>

#include <sys/resource.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/temporary.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/checkpoint/file/safetensors.h"

namespace opencloc::bench {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kTensors = 400;

// Removed at the end, whatever happens.
struct TemporaryFile {
  fs::path path = fs::temp_directory_path() / ("opencloc-bench-" + owner_tag() + ".safetensors");
  ~TemporaryFile() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
};

void write_hole(const fs::path& path, uint64_t bytes) {
  SafetensorsHeader header;
  const uint64_t each = bytes / kTensors / 4 * 4;
  for (uint64_t i = 0; i < kTensors; ++i) {
    header.tensors.push_back({"tensor." + std::to_string(i),
                              TensorType::kF32,
                              {static_cast<int64_t>(each / 4)},
                              i * each,
                              (i + 1) * each});
  }
  const std::string text = format_safetensors_header(header);
  const uint64_t length = text.size();
  write_file(path, std::string(reinterpret_cast<const char*>(&length), sizeof length) + text);
  fs::resize_file(path, sizeof length + length + kTensors * each);
}

struct OpenCost {
  int64_t tensors = 0;
  double wall_ms = 1e9, cpu_ms = 1e9;  // to open it and take a window of every tensor; the best
  // Growth of the process's own memory (RssAnon; pages of the mapped file are the kernel's cache),
  // in KiB: once it is open, and once every value has been read.
  int64_t own_kib_open = 0, own_kib_read = 0;
};

OpenCost cost_of_opening(const fs::path& path, int runs) {
  using Clock = std::chrono::steady_clock;
  OpenCost cost;
  for (int i = 0; i < runs; ++i) {
    const int64_t own_before = status_kib("RssAnon:");
    const auto began = Clock::now();
    const std::clock_t cpu_began = std::clock();
    const SafetensorsFile opened(path);
    std::vector<torch::Tensor> windows;
    for (const auto& info : opened.tensors()) windows.push_back(opened.tensor(info));
    const std::chrono::duration<double, std::milli> took = Clock::now() - began;
    cost.cpu_ms =
        std::min(cost.cpu_ms, 1e3 * static_cast<double>(std::clock() - cpu_began) / CLOCKS_PER_SEC);
    cost.wall_ms = std::min(cost.wall_ms, took.count());
    cost.tensors = static_cast<int64_t>(windows.size());
    cost.own_kib_open = std::max(cost.own_kib_open, status_kib("RssAnon:") - own_before);
    if (i > 0) continue;
    for (const auto& window : windows) {
      if (window.sum().item<float>() != 0)
        throw Error::failed("a hole that is not zero", path.string());
    }
    cost.own_kib_read = status_kib("RssAnon:") - own_before;
  }
  return cost;
}

}  // namespace

void open(const BenchOptions& options) {
  constexpr int kRuns = 5;
  const TemporaryFile file;
  write_hole(file.path, 1'000'000'000);
  const OpenCost cost = cost_of_opening(file.path, kRuns);
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  Figure figure;
  figure.name = "open/safetensors/1GB";
  figure.more = {{"bytes", fs::file_size(file.path)},
                 {"tensors", cost.tensors},
                 {"ms", cost.wall_ms},
                 {"cpu_ms", cost.cpu_ms},
                 {"own_kib_open", cost.own_kib_open},
                 {"own_kib_read", cost.own_kib_read},
                 {"peak_rss_kib", int64_t{usage.ru_maxrss}}};
  report(options, figure);
}

}  // namespace opencloc::bench
