#include "opencloc/ops/transfer.h"

#include <chrono>
#include <thread>

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace opencloc::ops {

torch::Tensor ready_for(const torch::Tensor& t, torch::Device device) {
  if (!t.defined() || !device.is_cuda() || !t.device().is_cpu() || t.is_pinned()) return t;
  return t.pin_memory();
}

torch::Tensor to_device(const torch::Tensor& t, torch::Device device) {
  if (!t.defined() || t.device().type() == device.type()) return t;  // of one kind there is one
  return ready_for(t, device).to(device, /*non_blocking=*/true);
}

LateNumbers::LateNumbers(const torch::Tensor& values) {
  const auto found = values.detach();
  const auto device = found.device();
  if (device.is_cpu()) {
    host_ = found;
    return;
  }
  const auto options = found.options().device(torch::kCPU).pinned_memory(device.is_cuda());
  host_ = torch::empty(found.sizes(), options);
  host_.copy_(found, /*non_blocking=*/true);
  arrived_ = std::make_shared<c10::Event>(device.type());
  arrived_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

const torch::Tensor& LateNumbers::wait() {
  // An event can be asked in all versions of libtorch, and waited for in newer ones only.
  while (arrived_ && !arrived_->query()) std::this_thread::sleep_for(std::chrono::microseconds(50));
  arrived_.reset();
  return host_;
}

}  // namespace opencloc::ops
