#include "opencloc/kernels/isa/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/isa/isa.h"
#include "opencloc/kernels/isa/kernel_table.h"
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

// Twelve independent chains hide the latency of a multiply-add. Instructions are written out, since
// this file must run on any processor.
#if defined(__x86_64__)
#define OPENCLOC_CHAINS(INSTRUCTION, R)                                                          \
  "1:\n\t" INSTRUCTION(R, 2) INSTRUCTION(R, 3) INSTRUCTION(R, 4) INSTRUCTION(R, 5)               \
      INSTRUCTION(R, 6) INSTRUCTION(R, 7) INSTRUCTION(R, 8) INSTRUCTION(R, 9) INSTRUCTION(R, 10) \
          INSTRUCTION(R, 11) INSTRUCTION(R, 12) INSTRUCTION(R, 13) "dec %0\n\tjnz 1b\n\t"
#define OPENCLOC_FMA(R, N) "vfmadd231ps %%" R "0, %%" R "1, %%" R #N "\n\t"
#define OPENCLOC_MUL_ADD(R, N) "mulps %%" R "0, %%" R #N "\n\taddps %%" R "1, %%" R #N "\n\t"
#define OPENCLOC_RUN(CODE)                                                                     \
  asm volatile(CODE                                                                            \
               : "+r"(rounds)                                                                  \
               :                                                                               \
               : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
                 "xmm9", "xmm10", "xmm11", "xmm12", "xmm13")

// `rounds` > 0 of them; returns the operations of one round.
int64_t multiply_adds(int64_t rounds) {
  constexpr int64_t kChains = 12;
  if (isa_supported(Isa::kAvx512)) {
    OPENCLOC_RUN("vzeroall\n\t" OPENCLOC_CHAINS(OPENCLOC_FMA, "zmm") "vzeroupper");
    return 2 * 16 * kChains;
  }
  if (isa_supported(Isa::kAvx2)) {
    OPENCLOC_RUN("vzeroall\n\t" OPENCLOC_CHAINS(OPENCLOC_FMA, "ymm") "vzeroupper");
    return 2 * 8 * kChains;
  }
  OPENCLOC_RUN(OPENCLOC_CHAINS(OPENCLOC_MUL_ADD, "xmm"));
  return 2 * 4 * kChains;
}
#undef OPENCLOC_CHAINS
#undef OPENCLOC_FMA
#undef OPENCLOC_MUL_ADD
#undef OPENCLOC_RUN
#else
int64_t multiply_adds(int64_t rounds) {
  constexpr int64_t kLanes = 48;
  volatile float factor = 0;
  float sums[kLanes] = {};
  for (int64_t round = 0; round < rounds; ++round) {
    const float x = factor;
    for (float& sum : sums) sum = sum * x + x;
  }
  factor = sums[0];
  return 2 * kLanes;
}
#endif

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

double peak_fp32_gflops() {
  constexpr int64_t kRounds = 2'000'000;
  const int threads = thread_count();
  int64_t per_round = 0;
  const double seconds = shortest_seconds(10, [&] {
    parallel_ranges(threads, 1, [&](int64_t begin, int64_t end) {
      const int64_t operations = multiply_adds((end - begin) * kRounds);
      if (begin == 0) per_round = operations;
    });
  });
  return static_cast<double>(per_round) * kRounds * threads / seconds * 1e-9;
}

double read_gbytes_per_s() {
  constexpr int64_t kCount = int64_t{1} << 25;
  AlignedBuffer<uint64_t> from(kCount);
  std::fill_n(from.data(), kCount, uint64_t{1});
  std::atomic<uint64_t> total{0};  // used, so that no read is optimised away
  const double seconds = shortest_seconds(5, [&] {
    parallel_ranges(kCount, 1, [&](int64_t begin, int64_t end) {
      uint64_t sums[8] = {};
      for (int64_t i = begin; i + 8 <= end; i += 8) {
        for (int64_t k = 0; k < 8; ++k) sums[k] += from.data()[i + k];
      }
      total += sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
    });
  });
  return static_cast<double>(sizeof(uint64_t)) * kCount / seconds * 1e-9;
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
