// What opening a large safetensors file costs.
#pragma once

#include <cstdint>

namespace opencloc::cli {

struct OpenCost {
  uint64_t bytes = 0;  // of the file
  int64_t tensors = 0;
  double wall_ms = 0, cpu_ms = 0;  // to open it and take a window of every tensor; the best of runs
  // Growth of the process's own memory (RssAnon; pages of the mapped file are the kernel's cache),
  // in KiB: once it is open, and once every value has been read.
  int64_t own_kib_open = 0, own_kib_read = 0;
  int64_t peak_rss_kib = 0;  // of the process, mapped pages included
};

// Writes a file of 400 F32 tensors, `bytes` in all, into the temporary folder (without taking disk
// space: it is one hole), opens it `runs` times, and removes it.
OpenCost bench_open(uint64_t bytes, int runs);

}  // namespace opencloc::cli
