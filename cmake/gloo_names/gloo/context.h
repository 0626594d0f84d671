// PyTorch's wheels hold Gloo but not its headers. c10d's ProcessGroupGloo.hpp includes five of
// them, for names: what is behind these is made, called and destroyed inside libtorch alone. The
// other files of this folder are of the same kind.
#pragma once

#include <chrono>
#include <memory>

namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo
