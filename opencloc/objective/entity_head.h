// The classes of L_entity: a vector for each, and what AdamW remembers of it. There may be
// millions, of which a step uses some thousands: only these have a gradient and change.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

namespace opencloc {

// C classes of width E. Everything lies on one device.
class EntityHead {
 public:
  // Class c is drawn from Rng(seed, {stream, c}): normal, of length about 1.
  EntityHead(int64_t classes, int64_t width, uint64_t seed);

  int64_t classes() const { return values_.size(0); }
  int64_t width() const { return values_.size(1); }
  void to(torch::Device device);
  // "entity_head.weight", ".m", ".v" [C, E] and ".steps" [C] int64, sharing storage: all that an
  // exact resume needs.
  std::vector<std::pair<std::string, torch::Tensor>> tensors() const;

  // The vectors [S, E] of these classes (ids [S] int64, distinct, where the head lies), a leaf for
  // autograd: what a step computes with. Until forget().
  torch::Tensor use(const torch::Tensor& ids);
  void forget();
  bool used() const { return ids_.defined(); }
  const torch::Tensor& ids() const { return ids_; }
  // Of used() vectors, [S, E]; zeros where no backward pass has reached them.
  torch::Tensor gradient() const;

  const torch::Tensor& values() const { return values_; }
  const torch::Tensor& first_moments() const { return first_moments_; }
  const torch::Tensor& second_moments() const { return second_moments_; }
  const torch::Tensor& steps() const { return steps_; }  // updates of each class so far

 private:
  torch::Tensor values_, first_moments_, second_moments_, steps_;
  torch::Tensor ids_, rows_;
};

}  // namespace opencloc
