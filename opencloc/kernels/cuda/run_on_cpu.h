// CUDA's execution on the CPU, for tests of the kernels' logic: the threads of a block are fibers
// that change places at each synchronisation, block after block. Slow, and exact: a read before the
// write of another thread, a missing __syncthreads() or a wrong index show as wrong numbers.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include <ucontext.h>

#include "opencloc/kernels/cuda/cuda_kernels.h"

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)

namespace opencloc::kernels::cuda {

struct Index3 {
  unsigned x = 0;
};
inline Index3 threadIdx, blockIdx, gridDim;

inline float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// A block's threads. One block at a time, of one thread of the program.
class Fibers {
 public:
  static Fibers& get() {
    static auto* fibers = new Fibers;
    return *fibers;
  }

  void run(unsigned blocks, const std::function<void()>& kernel) {
    kernel_ = &kernel;
    gridDim.x = blocks;
    for (unsigned block = 0; block < blocks; ++block) {
      blockIdx.x = block;
      run_block();
    }
  }

  // All threads of the block have come here before any goes on.
  void meet() {
    const unsigned self = running_;
    swapcontext(&fibers_[self].context, &scheduler_);
    threadIdx.x = self;
  }

  float exchange(float value, unsigned with) {
    values_[running_] = value;
    meet();
    const float other = values_[with];
    meet();
    return other;
  }
  unsigned running() const { return running_; }

 private:
  static constexpr size_t kStack = 64 << 10;
  struct Fiber {
    ucontext_t context{};
    std::vector<char> stack = std::vector<char>(kStack);
    bool done = false;
  };

  Fibers() : fibers_(kThreads), values_(kThreads) {}

  static void body() {
    Fibers& self = get();
    (*self.kernel_)();
    self.fibers_[self.running_].done = true;
    swapcontext(&self.fibers_[self.running_].context, &self.scheduler_);
  }

  void run_block() {
    for (auto& fiber : fibers_) {
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.data();
      fiber.context.uc_stack.ss_size = fiber.stack.size();
      fiber.context.uc_link = &scheduler_;
      fiber.done = false;
      makecontext(&fiber.context, &Fibers::body, 0);
    }
    for (bool any = true; any;) {
      any = false;
      for (unsigned i = 0; i < fibers_.size(); ++i) {
        if (fibers_[i].done) continue;
        running_ = threadIdx.x = i;
        swapcontext(&scheduler_, &fibers_[i].context);
        any = true;
      }
    }
  }

  std::vector<Fiber> fibers_;
  std::vector<float> values_;
  ucontext_t scheduler_{};
  const std::function<void()>* kernel_ = nullptr;
  unsigned running_ = 0;
};

inline void __syncthreads() { Fibers::get().meet(); }
inline float __shfl_xor_sync(unsigned /*mask*/, float value, int distance) {
  return Fibers::get().exchange(value, Fibers::get().running() ^ static_cast<unsigned>(distance));
}

#define OPENCLOC_LAUNCH(kernel, blocks, stream, ...)                              \
  (void)(stream);                                                                 \
  Fibers::get().run(static_cast<unsigned>(blocks), [&] { kernel(__VA_ARGS__); }); \
  return 0

}  // namespace opencloc::kernels::cuda
