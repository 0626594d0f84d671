// CUDA's execution on the CPU, for tests of the kernels' logic: the threads of a block are fibers
// that change places at each synchronisation, block after block. Slow, and exact: a read before the
// write of another thread, a missing __syncthreads() or a wrong index show as wrong numbers.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include <ucontext.h>
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

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
    change_places(fibers_[self], scheduler_);
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
    std::vector<char> stack;
    bool done = false;
    void* known_as = nullptr;  // to ThreadSanitizer, which keeps a stack of calls per fiber
  };

  Fibers() : fibers_(kThreads), values_(kThreads) {
    for (auto& fiber : fibers_) start(fiber);
  }

  // getcontext() may return twice: a function of its own keeps the compiler's variables apart from
  // it.
  [[gnu::noinline]] static void start(Fiber& fiber) {
    fiber.stack.resize(kStack);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    makecontext(&fiber.context, &Fibers::body, 0);
#if defined(__SANITIZE_THREAD__)
    fiber.known_as = __tsan_create_fiber(0);
#endif
  }

  // A fiber lives as long as the program: it runs its thread of one block after another.
  static void body() {
    Fibers& self = get();
    for (;;) {
      Fiber& fiber = self.fibers_[self.running_];
      (*self.kernel_)();
      fiber.done = true;
      change_places(fiber, self.scheduler_);
    }
  }

  static void change_places(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(to.known_as, 0);
#endif
    swapcontext(&from.context, &to.context);
  }

  void run_block() {
#if defined(__SANITIZE_THREAD__)
    scheduler_.known_as = __tsan_get_current_fiber();
#endif
    for (auto& fiber : fibers_) fiber.done = false;
    for (bool any = true; any;) {
      any = false;
      for (unsigned i = 0; i < fibers_.size(); ++i) {
        if (fibers_[i].done) continue;
        running_ = threadIdx.x = i;
        change_places(scheduler_, fibers_[i]);
        any = true;
      }
    }
  }

  std::vector<Fiber> fibers_;
  std::vector<float> values_;
  Fiber scheduler_;
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
