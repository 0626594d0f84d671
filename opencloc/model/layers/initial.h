// The values that new weights begin with. All of them come from torch's generator, so one seed
// gives one model. A model that is read from files draws none (FromFiles).
#pragma once

#include <torch/types.h>

namespace opencloc::initial {

// While one lives, weights that this thread makes begin as zeros: drawing what is overwritten takes
// seconds for large models, and would move the generator of the program that loads them. What no
// file holds (the region part of a plain CLIP) stays zero.
class FromFiles {
 public:
  FromFiles();
  ~FromFiles();
  FromFiles(const FromFiles&) = delete;
  FromFiles& operator=(const FromFiles&) = delete;

 private:
  bool before_;
};

// Whether weights are drawn now.
bool drawn();

// A new tensor of normal values with this standard deviation.
torch::Tensor normal(torch::IntArrayRef shape, double deviation);
// Fill a weight that is there already.
void fill_normal(torch::Tensor weight, double deviation);
void fill_xavier(torch::Tensor weight);

}  // namespace opencloc::initial
