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

// 10^9 operations a second of work(table, count) on every thread, which makes `count` products of
// 32 x 32 x depth.
template <class Work>
double block_rate(int64_t depth, const Work& work) {
  constexpr int64_t kBlocks = 2000;
  const KernelTable& table = kernel_table();
  const int threads = thread_count();
  const double seconds = shortest_seconds(10, [&] {
    parallel_ranges(threads, 1, [&](int64_t begin, int64_t end) {
      table.begin_blocks();
      work(table, (end - begin) * kBlocks);
      table.end_blocks();
    });
  });
  return 2.0 * 32 * 32 * static_cast<double>(depth) * kBlocks * threads / seconds * 1e-9;
}

// `count` zeros.
template <class T>
AlignedBuffer<T> zeros(int64_t count) {
  AlignedBuffer<T> buffer(count);
  std::fill_n(buffer.data(), count, T{0});
  return buffer;
}

}  // namespace

double peak_bf16_gflops() {
  constexpr int64_t kDepthBlocks = 6, kPanel = kDepthBlocks * 2 * kTileElements;
  return block_rate(32 * kDepthBlocks, [](const KernelTable& table, int64_t count) {
    const auto a = zeros<bf16>(kPanel), b = zeros<bf16>(kPanel);
    AlignedBuffer<float> c(32 * 32);
    for (int64_t i = 0; i < count; ++i) {
      table.block(kDepthBlocks, a.data(), b.data(), c.data(), false);
    }
  });
}

double peak_int8_gops() {
  constexpr int64_t kSteps = 6, kPanel = kSteps * 2 * kTileBytes;
  return block_rate(64 * kSteps, [](const KernelTable& table, int64_t count) {
    const auto a = zeros<uint8_t>(kPanel);
    const auto b = zeros<int8_t>(kPanel);
    AlignedBuffer<int32_t> c(32 * 32);
    for (int64_t i = 0; i < count; ++i) table.block_int8(kSteps, 32, a.data(), b.data(), c.data());
  });
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
