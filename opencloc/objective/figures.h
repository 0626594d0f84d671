// What a training step is remembered by: named figures ("loss_clip", "regions", ...), kept as
// tensors on their device until somebody reads them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <torch/types.h>

#include "opencloc/base/json.h"
#include "opencloc/dist/group.h"

namespace opencloc {

class Figures {
 public:
  // A mean over `weight` things (regions, pairs, ...); `value` scalar. One of weight 0 is left
  // out, and its value is not read:
  // the figures of nothing are no figures.
  void mean(std::string name, const torch::Tensor& value, double weight);
  void mean(std::string name, double value, double weight);
  // A sum, of which other pieces of the batch and other processes have their parts.
  void sum(std::string name, const torch::Tensor& value);
  void count(std::string name, int64_t value);

  // Those of another piece of the batch: sums and counts add, means are weighted.
  void merge(const Figures& other);
  // The same over all processes, which have the same names. Values stay where they are.
  void merge(dist::Group& group);

  // All values as [n] F64 where the device has some of them, else in main memory.
  torch::Tensor stacked() const;
  // The same figures with the values [n] that came of stacked() later, in main memory.
  Figures with_values(const torch::Tensor& values) const;

  bool has(std::string_view name) const;
  // 0 where there is none. This waits for the device.
  double at(std::string_view name) const;
  // {"loss_clip": 3.1, "regions": 12, ...}: one transfer from the device.
  Json values() const;

 private:
  enum class Kind { kMean, kSum, kCount };
  struct Figure {
    std::string name;
    Kind kind;
    torch::Tensor value;  // scalar; of a mean: the mean
    double weight;        // of a mean
  };
  const Figure* find(std::string_view name) const;
  void add(Figure figure);

  std::vector<Figure> figures_;
};

}  // namespace opencloc
