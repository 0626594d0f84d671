// metrics.jsonl: one JSON object a line, in order of the steps. A resumed run cuts it back to where
// its checkpoint stood, so that no step stands in it twice.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "opencloc/base/json.h"

namespace opencloc {

class MetricsLog {
 public:
  // Keeps the first `keep_bytes` of an existing file and drops the rest. Throws Error (failed).
  MetricsLog(std::filesystem::path path, uint64_t keep_bytes);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  // The line is in the file (not yet on the disk) on return. Throws Error (failed): disk full, ...
  void write(const Json& line);
  void flush_to_disk();
  uint64_t bytes() const { return bytes_; }

 private:
  [[noreturn]] void fail(const char* action) const;
  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
};

// All lines of a metrics file; a last line that was cut short is left out. Empty without a file.
std::vector<Json> read_metrics(const std::filesystem::path& path);

}  // namespace opencloc
