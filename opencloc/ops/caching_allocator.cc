#include "opencloc/ops/caching_allocator.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include "opencloc/ops/torch_compat.h"

namespace opencloc::ops {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSmallest = kHugePage / 4;  // smaller ones come from the C library

// Few distinct sizes, so that freed blocks fit again: 8 for every power of two. (Whole huge pages
// would double what the weights of a small model take.)
size_t block_size(size_t bytes) {
  const size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

void* map_block(size_t bytes) {
  if (bytes < kHugePage) {
    void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mapped == MAP_FAILED ? nullptr : mapped;
  }
  // Twice aligned: the system aligns to 4 KiB only, so map one huge page more and cut the ends off.
  void* mapped =
      mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(mapped);
  const size_t skip = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  if (skip > 0) munmap(begin, skip);
  if (skip < kHugePage) munmap(begin + skip + bytes, kHugePage - skip);
  madvise(begin + skip, bytes, MADV_HUGEPAGE);  // a wish: without it, small pages serve as well
  return begin + skip;
}

void* small_block(size_t bytes) {
  if (bytes == 0) return nullptr;
  constexpr size_t kAlignment = 64;
  void* data = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

class CachingAllocator final : public TorchAllocator {
 public:
  static CachingAllocator& instance() {
    static auto* allocator = new CachingAllocator;  // outlives every tensor
    return *allocator;
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  AllocatorStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return {static_cast<int64_t>(in_use_), static_cast<int64_t>(kept_),
            static_cast<int64_t>(peak_)};
  }

  void give_back() {
    const std::lock_guard lock(mutex_);
    shrink_to(0);
    peak_ = in_use_;
  }

 private:
  c10::DataPtr make(size_t bytes) override {
    void* data = bytes < kSmallest ? small_block(bytes) : take(block_size(bytes));
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }

  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    void* data = nullptr;
    if (const auto fit = free_.lower_bound(bytes);
        fit != free_.end() && fit->first <= bytes + bytes / 4) {
      bytes = fit->first;
      data = fit->second;
      free_.erase(fit);
      kept_ -= bytes;
    } else {
      data = map_block(bytes);
      if (data == nullptr) {  // what is kept may be what is missing
        shrink_to(0);
        data = map_block(bytes);
      }
      if (data == nullptr) throw std::bad_alloc();
    }
    try {
      sizes_[data] = bytes;
    } catch (const std::bad_alloc&) {
      munmap(data, bytes);
      throw;
    }
    in_use_ += bytes;
    peak_ = std::max(peak_, in_use_);
    shrink_to(peak_ + peak_ / 4);
    return data;
  }

  static void release(void* data) {
    if (data == nullptr) return;
    CachingAllocator& self = instance();
    std::unique_lock lock(self.mutex_);
    const auto block = self.sizes_.find(data);
    if (block == self.sizes_.end()) {
      lock.unlock();
      return std::free(data);
    }
    const size_t bytes = block->second;
    self.in_use_ -= bytes;
    self.sizes_.erase(block);
    try {
      self.free_.emplace(bytes, data);
    } catch (const std::bad_alloc&) {  // a deleter must not throw: the block is not kept
      munmap(data, bytes);
      return;
    }
    self.kept_ += bytes;
    self.shrink_to(self.peak_ + self.peak_ / 4);
  }

  // Gives kept blocks back, largest first, until at most `limit` bytes are held in all.
  void shrink_to(size_t limit) {
    while (!free_.empty() && in_use_ + kept_ > limit) {
      const auto largest = std::prev(free_.end());
      munmap(largest->second, largest->first);
      kept_ -= largest->first;
      free_.erase(largest);
    }
  }

  std::mutex mutex_;
  std::unordered_map<void*, size_t> sizes_;  // of blocks in use
  std::multimap<size_t, void*> free_;
  size_t in_use_ = 0, kept_ = 0, peak_ = 0;
};

}  // namespace

void use_caching_allocator() {
  static const bool installed = [] {
    constexpr uint8_t kPriority = 100;  // over torch's own, which has 0
    c10::SetCPUAllocator(&CachingAllocator::instance(), kPriority);
    return true;
  }();
  (void)installed;
}

void give_kept_memory_back() { CachingAllocator::instance().give_back(); }

AllocatorStatistics allocator_statistics() { return CachingAllocator::instance().statistics(); }

}  // namespace opencloc::ops
