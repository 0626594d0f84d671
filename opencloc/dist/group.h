// The processes that train one model together, as one of them sees it. All of them make the same
// calls in the same order. Alone, every call leaves its argument as it is.
#pragma once

#include <cstdint>

#include <torch/types.h>

namespace opencloc::dist {

// The rows of all processes, in order of their ranks.
struct Gathered {
  torch::Tensor rows;  // [n of all, ...]
  int64_t first = 0;   // where this process's own begin
};

class Group {
 public:
  virtual ~Group() = default;
  virtual int rank() const = 0;  // in [0, size())
  virtual int size() const = 0;
  // In place, `values` of equal shape and type in all processes: their sum, their maximum.
  virtual void sum(torch::Tensor& values) = 0;
  virtual void max(torch::Tensor& values) = 0;
  // rows [n, ...]; n may differ from process to process, and be 0. No gradient passes.
  virtual Gathered gather(const torch::Tensor& rows) = 0;
};

// One process.
Group& alone();

}  // namespace opencloc::dist
