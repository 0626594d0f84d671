// What differs between the versions of libtorch that we build against, 1.13 to 2.15. Nothing
// outside this header asks which version there is.
#pragma once

#include <optional>

#include <c10/core/Allocator.h>
#include <torch/types.h>
#include <torch/version.h>

#define OPENCLOC_TORCH_FROM(major, minor) \
  (TORCH_VERSION_MAJOR > (major) ||       \
   (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

namespace opencloc::ops {

// As libtorch's signatures write it: c10's own class at first, and std::optional for sure from 2.6
// on.
#if OPENCLOC_TORCH_FROM(2, 6)
using OptionalTensor = std::optional<torch::Tensor>;
#else
using OptionalTensor = c10::optional<torch::Tensor>;
#endif

// c10::Allocator with one signature: derived classes give make() and raw_deleter().
class TorchAllocator : public c10::Allocator {
 public:
#if OPENCLOC_TORCH_FROM(2, 3)
  c10::DataPtr allocate(size_t bytes) final { return make(bytes); }
  void copy_data(void* to, const void* from, size_t bytes) const final {
    default_copy_data(to, from, bytes);
  }
#else
  c10::DataPtr allocate(size_t bytes) const final {
    return const_cast<TorchAllocator*>(this)->make(bytes);
  }
#endif

 protected:
  virtual c10::DataPtr make(size_t bytes) = 0;
};

}  // namespace opencloc::ops
