// What differs between the versions of libtorch that we build against, 1.13 to 2.15. Nothing
// outside this header asks which version there is.
#pragma once

#include <cstdlib>
#include <optional>

#include <ATen/Parallel.h>
#include <c10/core/Allocator.h>
#include <c10/util/Exception.h>
#include <omp.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <torch/version.h>

#define OPENCLOC_TORCH_FROM(major, minor) \
  (TORCH_VERSION_MAJOR > (major) ||       \
   (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

namespace opencloc::ops {

// libtorch's operations stay on their caller's thread, in every thread that uses it from now on. A
// thread that begins asks libtorch's own number, then MKL, which is inside PyTorch's builds and has
// its number from the start of the process, then, without MKL, the variable.
inline void use_one_thread() {
  ::setenv("OMP_NUM_THREADS", "1", 1);
  omp_set_num_threads(1);
#if OPENCLOC_TORCH_FROM(2, 7)
  at::set_num_threads(1);  // before, it made a pool of its own, for which it waited for ever where
                           // threads cannot start
#endif
}

// A thread of c10d's TCPStore throws where its connection is reset, and nothing catches that.
inline constexpr bool kStoreThreadThrows = !OPENCLOC_TORCH_FROM(2, 3);

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

// An int8 matrix [out, in] with a scale [out] per row as one tensor. libtorch 2.15 warns of every
// program that makes such tensors, since they are to leave it one day: then this function is where
// another form comes in.
inline torch::Tensor per_channel_tensor(const torch::Tensor& values, const torch::Tensor& scale) {
#if OPENCLOC_TORCH_FROM(2, 7)
  struct : c10::WarningHandler {
    void process(const c10::Warning& /*warning*/) override {}
  } silent;
  const c10::WarningUtils::WarningHandlerGuard guard(&silent);
#endif
  return at::_make_per_channel_quantized_tensor(
      values, scale.to(torch::kDouble), torch::zeros(scale.sizes(), torch::kLong), /*axis=*/0);
}

}  // namespace opencloc::ops
