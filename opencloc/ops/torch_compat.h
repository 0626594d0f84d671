// What differs between the versions of libtorch that we build against, 1.13 to 2.15. Only this
// header and tests/fake_device.h ask which version there is.
#pragma once

#include <cstdlib>
#include <optional>
#include <vector>

#include <ATen/Context.h>
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
template <typename T>
using OptionalOf = std::optional<T>;
#else
template <typename T>
using OptionalOf = c10::optional<T>;
#endif
using OptionalTensor = OptionalOf<torch::Tensor>;

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

// Attention in one operation that keeps no scores: q, k, v [B, heads, T, d], any strides, scale
// d^-1/2 -> [B, heads, Tq, d], with gradients. 1.13 has it in name only.
#if OPENCLOC_TORCH_FROM(2, 0)
inline constexpr bool kHasFusedAttention = true;
inline torch::Tensor fused_attention(const torch::Tensor& q, const torch::Tensor& k,
                                     const torch::Tensor& v, bool causal) {
  return at::scaled_dot_product_attention(q, k, v, {}, 0.0, causal);
}
#else
inline constexpr bool kHasFusedAttention = false;
inline torch::Tensor fused_attention(const torch::Tensor&, const torch::Tensor&,
                                     const torch::Tensor&, bool) {
  return {};
}
#endif

// cuDNN's attention before all others, where libtorch lets one say so (else it decides itself). On
// Hopper it is about twice as fast as what is asked first, on other GPUs not.
inline bool prefer_cudnn_attention() {
#if OPENCLOC_TORCH_FROM(2, 6)
  std::vector<int64_t> order;
  for (const auto backend :
       {at::SDPBackend::cudnn_attention, at::SDPBackend::flash_attention,
        at::SDPBackend::efficient_attention, at::SDPBackend::math, at::SDPBackend::overrideable})
    order.push_back(static_cast<int64_t>(backend));
  at::globalContext().setSDPPriorityOrder(order);
  return true;
#else
  return false;
#endif
}

// AdamW over many tensors in a few launches.
inline bool has_fused_adamw(torch::Device device) {
#if OPENCLOC_TORCH_FROM(2, 4)
  return device.is_cuda() || device.is_cpu();
#elif OPENCLOC_TORCH_FROM(2, 0)
  return device.is_cuda();
#else
  (void)device;
  return false;
#endif
}
struct FusedAdamW {
  std::vector<torch::Tensor> values, grads, exp_avgs, exp_avg_sqs, steps;
  double lr = 0, beta1 = 0, beta2 = 0, weight_decay = 0, epsilon = 0;
  torch::Tensor grad_divisor;  // scalar F32
  torch::Tensor skip;          // scalar F32: 1 = nothing changes
};
inline void fused_adamw([[maybe_unused]] FusedAdamW& call) {
#if OPENCLOC_TORCH_FROM(2, 0)
  at::_fused_adamw_(call.values, call.grads, call.exp_avgs, call.exp_avg_sqs, {}, call.steps,
                    call.lr, call.beta1, call.beta2, call.weight_decay, call.epsilon,
                    /*amsgrad=*/false, /*maximize=*/false, call.grad_divisor, call.skip);
#endif
}

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
