// Work in parallel, results in order: the output does not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "opencloc/base/parallel_for.h"

namespace opencloc {

// consume(make(0)), consume(make(1)), ...: make() runs on up to `threads` threads, consume() on the
// caller's, in order. At most 16 results a thread are held. The first exception is rethrown.
template <typename Make, typename Consume>
void produce_in_order(int64_t count, int threads, const Make& make, const Consume& consume) {
  using Result = decltype(make(int64_t{0}));
  const int64_t chunk = int64_t{16} * std::max(1, threads);
  for (int64_t begin = 0; begin < count; begin += chunk) {
    const int64_t size = std::min(chunk, count - begin);
    std::vector<Result> results(static_cast<size_t>(size));
    parallel_for(size, threads,
                 [&](int64_t i) { results[static_cast<size_t>(i)] = make(begin + i); });
    for (auto& result : results) consume(std::move(result));
  }
}

}  // namespace opencloc
