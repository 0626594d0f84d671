// Between main memory and a device, without waiting: a training step hands its numbers over and
// goes on, and what it is to know of the device arrives while the next step is computed. On the CPU
// all of this is free.
#pragma once

#include <memory>

#include <torch/types.h>

namespace c10 {
struct Event;
}

namespace opencloc::ops {

// `t` on `device`. From main memory to a GPU it goes by way of page-locked memory (its own where it
// lies there), so that nobody waits. Undefined stays undefined.
torch::Tensor to_device(const torch::Tensor& t, torch::Device device);

// A copy in page-locked memory where `device` is a GPU, else `t`: what threads do ahead of
// to_device().
torch::Tensor ready_for(const torch::Tensor& t, torch::Device device);

// A copy of a device's numbers that is under way.
class LateNumbers {
 public:
  LateNumbers() = default;
  // values [n] of any device: asked for, not waited for.
  explicit LateNumbers(const torch::Tensor& values);
  // [n] in main memory; waits for what was to be computed before the constructor. Undefined where
  // nothing was asked for.
  const torch::Tensor& wait();

 private:
  torch::Tensor host_;
  std::shared_ptr<c10::Event> arrived_;
};

}  // namespace opencloc::ops
