#include "opencloc/ops/compute_threads.h"

#include <cstdlib>
#include <iostream>
#include <thread>

#include <ATen/Parallel.h>
#include <dirent.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <torch/utils.h>

#include "opencloc/kernels/parallel.h"

namespace opencloc {
namespace {

int threads_of_process() {
  int count = 0;
  DIR* tasks = ::opendir("/proc/self/task");
  while (const dirent* entry = ::readdir(tasks)) count += entry->d_name[0] != '.';
  ::closedir(tasks);
  return count;
}

// Operations that libtorch cuts up for its threads: a product, a sum, element by element.
void use_libtorch() {
  const auto x = torch::ones({600, 600});
  torch::conv2d(torch::ones({2, 8, 64, 64}), torch::ones({8, 8, 3, 3}));
  torch::matmul(x, x).add(x).exp().sum(0).softmax(0);
}

[[noreturn]] void end(bool good, const std::string& said) {
  std::cerr << said << "\n" << at::get_parallel_info() << "\n";
  std::exit(good ? 0 : 1);
}

[[noreturn]] void set_openmp_and_ask_libtorch() {
  use_libtorch();
  omp_set_num_threads(3);
  const int three = at::get_num_threads();
  omp_set_num_threads(2);
  const int two = at::get_num_threads();
  end(three == 3 && two == 2, "for 3, 2: " + std::to_string(three) + ", " + std::to_string(two));
}

[[noreturn]] void use_libtorch_in_two_threads() {
  set_compute_threads(3);
  std::thread([] {}).join();  // with the first thread a sanitizer's own begins
  const int before = threads_of_process();
  use_libtorch();
  int in_another = 0;
  std::thread([&] {
    use_libtorch();
    in_another = at::get_num_threads();
  }).join();
  const int made = threads_of_process() - before;
  end(made == 0 && in_another == 1 && at::get_num_threads() == 1 && kernels::thread_count() == 3,
      std::to_string(made) + " new threads; in another thread libtorch has " +
          std::to_string(in_another));
}

// A library's call in a thread of its host, which has not used libtorch before.
[[noreturn]] void use_libtorch_within_a_guard() {
  omp_set_num_threads(3);
  int made = 0, within = 0;
  std::thread([&] {
    const kernels::OneOpenMpThread one_thread;
    const int before = threads_of_process();
    use_libtorch();
    made = threads_of_process() - before;
    within = at::get_num_threads();
  }).join();
  end(made == 0 && within == 1, std::to_string(made) +
                                    " new threads; within the guard libtorch has " +
                                    std::to_string(within));
}

// libtorch looks for its number of threads once per process and once per thread, so each case is a
// process of its own.
class ComputeThreads : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ComputeThreads, OneOpenMpServesUsAndLibtorch) {
  EXPECT_EXIT(set_openmp_and_ask_libtorch(), testing::ExitedWithCode(0), "");
}

TEST_F(ComputeThreads, LibtorchStaysOnItsCallersThread) {
  EXPECT_EXIT(use_libtorch_in_two_threads(), testing::ExitedWithCode(0), "");
}

TEST_F(ComputeThreads, AGuardHoldsForAThreadsFirstOperation) {
  EXPECT_EXIT(use_libtorch_within_a_guard(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace opencloc
