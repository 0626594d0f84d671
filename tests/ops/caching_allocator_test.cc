#include "opencloc/ops/caching_allocator.h"

#include <thread>

#include <gtest/gtest.h>
#include <torch/types.h>

namespace opencloc::ops {
namespace {

torch::Tensor large(int64_t megabytes) { return torch::empty({megabytes << 18}); }

// Makes the allocator before libtorch starts a thread: it hands it over out of a sanitizer's sight.
const AllocatorStatistics kMade = allocator_statistics();

class CachingAllocator : public testing::Test {
 protected:
  void SetUp() override { use_caching_allocator(); }
};

TEST_F(CachingAllocator, GivesAFreedBlockAgain) {
  const void* first = large(3).data_ptr();
  EXPECT_EQ(large(3).data_ptr(), first);
}

TEST_F(CachingAllocator, CountsWhatIsInUse) {
  const int64_t before = allocator_statistics().in_use;
  {
    const auto tensor = large(6);
    EXPECT_EQ(allocator_statistics().in_use - before, 6 << 20);
    EXPECT_GE(allocator_statistics().peak, before + (6 << 20));
  }
  EXPECT_EQ(allocator_statistics().in_use, before);
}

TEST_F(CachingAllocator, HoldsLittleMoreThanThePeak) {
  for (int64_t megabytes = 2; megabytes < 200; megabytes += 9) {
    large(megabytes).fill_(1);
    const auto s = allocator_statistics();
    EXPECT_LE(s.in_use + s.kept, s.peak + s.peak / 4);
  }
}

TEST_F(CachingAllocator, MemoryIsWritableAlignedAndKept) {
  auto a = large(5), b = large(5);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data_ptr()) % 64, 0u);
  a.fill_(1);
  b.fill_(2);
  EXPECT_EQ(a.sum().item<float>(), static_cast<float>(a.numel()));
  EXPECT_EQ(torch::cat({a, b}).numel(), a.numel() + b.numel());
}

TEST_F(CachingAllocator, SmallAndEmptyTensors) {
  EXPECT_EQ(torch::ones({10}).sum().item<float>(), 10);
  EXPECT_EQ(torch::empty({0}).numel(), 0);
}

TEST_F(CachingAllocator, BlocksMoveBetweenThreads) {
  torch::Tensor made;
  std::thread([&] { made = large(8).fill_(3); }).join();
  EXPECT_EQ(made[5].item<float>(), 3);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i] {
      for (int round = 0; round < 20; ++round) {
        const auto t = large(2 + i).fill_(i);
        ASSERT_EQ(t[t.numel() - 1].item<float>(), static_cast<float>(i));
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace opencloc::ops
