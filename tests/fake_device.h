// A device of main memory (libtorch knows it as "xpu") that behaves as a GPU does where it matters:
// its tensors are not the CPU's, an operation takes no tensors of both, backward passes run on
// threads of their own, and what reads a value back is counted. Code that runs a step here without
// a count runs it on a GPU without waiting for it.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/Backtrace.h>
#include <torch/library.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "opencloc/ops/torch_compat.h"

namespace opencloc::fixtures {

inline torch::Device fake_device() { return {c10::DeviceType::XPU, 0}; }

// What made the host wait, by the operation's name; what it will read later.
class FakeDevice {
 public:
  static FakeDevice& get() {
    static auto* device = new FakeDevice;
    return *device;
  }
  void reset() {
    const std::lock_guard lock(mutex_);
    waits_.clear();
    late_ = 0;
  }
  std::vector<std::string> waits() {
    const std::lock_guard lock(mutex_);
    return waits_;
  }
  int64_t late_copies() {
    const std::lock_guard lock(mutex_);
    return late_;
  }

  void count(const std::string& what) {
    if (std::getenv("OPENCLOC_FAKE_TRACE") != nullptr)  // where does it come from?
      std::fprintf(stderr, "%s\n%s\n", what.c_str(), c10::get_backtrace(1, 64).c_str());
    const std::lock_guard lock(mutex_);
    waits_.push_back(what);
  }
  // A copy to main memory that nobody waits for is made when an event is asked.
  void later(std::function<void()> copy) {
    const std::lock_guard lock(mutex_);
    ++late_;
    pending_.push_back(std::move(copy));
  }
  void catch_up() {
    std::vector<std::function<void()>> copies;
    {
      const std::lock_guard lock(mutex_);
      copies.swap(pending_);
    }
    for (const auto& copy : copies) copy();
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> waits_;
  std::vector<std::function<void()>> pending_;
  int64_t late_ = 0;
};

namespace fake {

// Operations are computed by the CPU's: what they read and copy on the way is no reading back.
inline thread_local int inside = 0;
struct Inside {
  Inside() { ++inside; }
  ~Inside() { --inside; }
};

class Allocator : public ops::TorchAllocator {
 public:
  at::DeleterFnPtr raw_deleter() const override { return &release; }
  static inline std::atomic<int64_t> in_use{0};

 protected:
  c10::DataPtr make(size_t bytes) override {
    auto* block = new Block{bytes, c10::GetCPUAllocator()->allocate(bytes)};
    in_use += static_cast<int64_t>(bytes);
    return {block->memory.get(), block, &release, fake_device()};
  }

 private:
  struct Block {
    size_t bytes;
    c10::DataPtr memory;
  };
  static void release(void* block) {
    const std::unique_ptr<Block> owned(static_cast<Block*>(block));
    in_use -= static_cast<int64_t>(owned->bytes);
  }
};
inline Allocator& allocator() {
  static auto* made = new Allocator;
  return *made;
}

// Events are there; whoever asks one finds its copies made.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  static constexpr auto kType = c10::DeviceType::XPU;
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, fake_device()); }
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device) const override { return fake_device(); }
  c10::Device getDevice() const override { return fake_device(); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void** event, const c10::Stream&, const c10::DeviceIndex,
              const c10::EventFlag) const override {
    *event = this_pointer();
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override {
    FakeDevice::get().catch_up();
    return true;
  }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override { FakeDevice::get().count("stream"); }

 private:
  void* this_pointer() const { return const_cast<Guard*>(this); }
};
static const c10::impl::DeviceGuardImplRegistrar registrar(Guard::kType, new Guard);

#if OPENCLOC_TORCH_FROM(2, 6)
// Backward passes ask whether there is an accelerator, and which.
struct Hooks final : at::XPUHooksInterface {
  bool hasXPU() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  void init() const override {}
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex current_device() const override { return 0; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    static const auto generator = at::detail::createCPUGenerator();  // seeded, never drawn from
    return generator;
  }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
};
static const at::RegistererXPUHooksRegistry hooks(
    "XPUHooks", at::XPUHooksRegistry(), at::RegistererXPUHooksRegistry::DefaultCreator<Hooks>);

// libtorch asks which of its kernels of attention fits only for devices that it was built for.
inline at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const ops::OptionalTensor& mask, double dropout, bool causal,
                            ops::OptionalOf<double> scale, bool grouped) {
  return std::get<0>(
      at::_scaled_dot_product_attention_math(q, k, v, mask, dropout, causal, {}, scale, grouped));
}
#endif

inline at::Tensor empty(c10::IntArrayRef size, ops::OptionalOf<at::ScalarType> type,
                        ops::OptionalOf<at::Layout>, ops::OptionalOf<at::Device>,
                        ops::OptionalOf<bool>, ops::OptionalOf<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &allocator(), c10::DispatchKeySet(c10::DispatchKey::XPU),
                                   c10::dtype_or_default(type), format);
}
inline at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride,
                                ops::OptionalOf<at::ScalarType> type, ops::OptionalOf<at::Layout>,
                                ops::OptionalOf<at::Device>, ops::OptionalOf<bool>) {
  return at::detail::empty_strided_generic(size, stride, &allocator(),
                                           c10::DispatchKeySet(c10::DispatchKey::XPU),
                                           c10::dtype_or_default(type));
}

// The same memory as a tensor of the CPU.
inline at::Tensor as_cpu(const at::Tensor& t) {
  if (t.device().is_cpu()) return t;
  return at::from_blob(
      t.data_ptr(), t.sizes(), t.strides(), [keep = t](void*) {},
      at::TensorOptions(t.scalar_type()));
}

inline at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  const auto copy = [from, to] {
    const Inside guard;
    const at::NoGradGuard no_grad;
    as_cpu(to).copy_(as_cpu(from));
  };
  const bool down = !from.device().is_cpu() && to.device().is_cpu();
  if (inside == 0 && down && non_blocking) {
    FakeDevice::get().later(copy);
    return to;
  }
  const bool up = from.device().is_cpu() && !to.device().is_cpu();
  if (inside == 0 && (down || up) && !non_blocking && from.numel() > 0)
    FakeDevice::get().count(down ? "copy to the CPU" : "copy from the CPU that waits");
  copy();
  return to;
}

// Newer libtorches ask _copy_from for no device that has streams.
inline at::Tensor& copy(at::Tensor& to, const at::Tensor& from, bool non_blocking) {
  copy_from(from, to, non_blocking);
  return to;
}

// What was in it is of no use: this is for results.
inline const at::Tensor& resize_result(const at::Tensor& self, c10::IntArrayRef size,
                                       ops::OptionalOf<at::MemoryFormat>) {
  auto* storage = self.storage().unsafeGetStorageImpl();
  const auto elements = static_cast<size_t>(self.storage_offset() + c10::multiply_integers(size));
  const size_t bytes = elements * self.element_size();
  if (storage->nbytes() < bytes) {
    storage->set_data_ptr(allocator().allocate(bytes));
    storage->set_nbytes(bytes);
  }
  self.unsafeGetTensorImpl()->set_sizes_contiguous(size);
  return self;
}
inline at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (from.sizes() != to.sizes()) resize_result(to, from.sizes(), {});
  return copy_from(from, to, /*non_blocking=*/false);
}

inline at::Scalar local_scalar(const at::Tensor& t) {
  if (inside == 0) FakeDevice::get().count("_local_scalar_dense");
  const Inside guard;
  return at::_local_scalar_dense(as_cpu(t));
}

// Is there one of the device?
inline bool any_on_device(const torch::jit::Stack& stack) {
  const auto there = [](const at::Tensor& t) { return t.defined() && !t.device().is_cpu(); };
  for (const auto& value : stack) {
    if (value.isTensor() && there(value.toTensor())) return true;
    if (value.isTensorList())
      for (const at::Tensor& t : value.toTensorVector())
        if (there(t)) return true;
  }
  return false;
}

// Of both places, which a GPU refuses: numbers (0 dimensions) may come along.
inline void refuse_mixed(const c10::OperatorHandle& op, const torch::jit::Stack& stack) {
  for (const auto& value : stack) {
    const auto check = [&](const at::Tensor& t) {
      TORCH_CHECK(!t.defined() || !t.device().is_cpu() || t.dim() == 0, "operation ",
                  op.schema().name(), " takes a tensor of the CPU, ", t.sizes(),
                  ", beside those of a device");
    };
    if (value.isTensor()) check(value.toTensor());
    if (value.isTensorList())
      for (const at::Tensor& t : value.toTensorVector()) check(t);
  }
}

inline void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  static const std::set<std::string> kWaiting = {
      "aten::nonzero",    "aten::is_nonzero",        "aten::equal",
      "aten::_unique2",   "aten::masked_select",     "aten::_unique",
      "aten::unique_dim", "aten::is_set_to",         "aten::repeat_interleave",
      "aten::bincount",   "aten::unique_consecutive"};
  if (inside == 0) {
    refuse_mixed(op, *stack);
    if (kWaiting.count(op.schema().name()) > 0) FakeDevice::get().count(op.schema().name());
  }
  const bool on_device = any_on_device(*stack);
  const Inside guard;
  at::native::cpu_fallback(op, stack);
  // It leaves the result where the first argument is, also where that is a number, and results that
  // are lists on the CPU; a GPU does not.
  const size_t results = op.schema().returns().size();
  for (size_t i = stack->size() - results; on_device && i < stack->size(); ++i) {
    auto& result = (*stack)[i];
    if (result.isTensor() && result.toTensor().defined() && result.toTensor().device().is_cpu())
      result = result.toTensor().to(fake_device());
    if (result.isTensorList()) {
      auto tensors = result.toTensorVector();
      for (auto& t : tensors) t = t.to(fake_device());
      result = tensors;
    }
  }
}

}  // namespace fake

// Of all tensors on the device.
inline int64_t fake_bytes_in_use() { return fake::Allocator::in_use; }

TORCH_LIBRARY_IMPL(_, XPU, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&fake::fallback>());
}
#if OPENCLOC_TORCH_FROM(2, 6)
TORCH_LIBRARY_IMPL(aten, AutogradXPU, library) {
  library.impl("scaled_dot_product_attention", &fake::attention);
}
#endif
TORCH_LIBRARY_IMPL(aten, XPU, library) {
  library.impl("empty.memory_format", &fake::empty);
  library.impl("empty_strided", &fake::empty_strided);
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("view", &at::native::view);
  library.impl("_reshape_alias", &at::native::_reshape_alias);
  library.impl("copy_", &fake::copy);
  library.impl("_copy_from", &fake::copy_from);
  library.impl("_copy_from_and_resize", &fake::copy_from_and_resize);
  library.impl("resize_", &fake::resize_result);
  library.impl("_local_scalar_dense", &fake::local_scalar);
}

}  // namespace opencloc::fixtures
