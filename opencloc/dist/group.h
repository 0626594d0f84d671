// The processes that train one model together, as one of them sees it. Alone, every call leaves its
// argument as it is.
#pragma once

#include <torch/types.h>

namespace opencloc::dist {

class Group {
 public:
  virtual ~Group() = default;
  virtual int rank() const = 0;  // in [0, size())
  virtual int size() const = 0;
  // In place, `values` of equal shape and type in all processes: their sum, their largest.
  virtual void sum(torch::Tensor& values) = 0;
  virtual void max(torch::Tensor& values) = 0;
};

// One process.
Group& alone();

}  // namespace opencloc::dist
