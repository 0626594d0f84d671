#include "opencloc/kernels/peak.h"

#include <algorithm>
#include <chrono>

#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {
namespace {

// The shortest of several runs: other programs only ever make it longer.
template <class Work>
double shortest_seconds(int runs, const Work& work) {
  double best = 1e30;
  for (int run = 0; run < runs; ++run) {
    const auto began = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    best = std::min(best, took.count());
  }
  return best;
}

}  // namespace

double peak_bf16_gflops() {
  constexpr int64_t kDepthBlocks = 6, kBlocks = 2000;
  constexpr int64_t kPanel = kDepthBlocks * 2 * kTileElements;
  const KernelTable& table = kernel_table();
  const int threads = thread_count();
  const double seconds = shortest_seconds(10, [&] {
    parallel_ranges(threads, 1, [&](int64_t begin, int64_t end) {
      AlignedBuffer<bf16> a(kPanel), b(kPanel);
      AlignedBuffer<float> c(32 * 32);
      std::fill_n(a.data(), kPanel, bf16{0});
      std::fill_n(b.data(), kPanel, bf16{0});
      table.begin_blocks();
      for (int64_t i = 0; i < (end - begin) * kBlocks; ++i) {
        table.block(kDepthBlocks, a.data(), b.data(), c.data(), false);
      }
      table.end_blocks();
    });
  });
  const double operations = 2.0 * 32 * 32 * 32 * kDepthBlocks * kBlocks * threads;
  return operations / seconds * 1e-9;
}

double copy_gbytes_per_s() {
  constexpr int64_t kCount = int64_t{1} << 24;
  AlignedBuffer<float> from(kCount), to(kCount);
  std::fill_n(from.data(), kCount, 1.0f);
  const double seconds = shortest_seconds(5, [&] {
    parallel_ranges(kCount, 1, [&](int64_t begin, int64_t end) {
      std::copy(from.data() + begin, from.data() + end, to.data() + begin);
    });
  });
  return 2.0 * sizeof(float) * kCount / seconds * 1e-9;
}

}  // namespace opencloc::kernels
