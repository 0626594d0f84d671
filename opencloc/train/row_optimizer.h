// AdamW of the classes of L_entity: only those of a step have a gradient, are updated, decay and
// age (docs/decisions/entity_head.md). Gradients lie as [S, E], never as [C, E].
#pragma once

#include <memory>

#include <torch/types.h>

#include "opencloc/dist/group.h"
#include "opencloc/objective/entity_head.h"
#include "opencloc/train/optimizer.h"

namespace opencloc {

class RowAdamW {
 public:
  // The state lies in the head.
  RowAdamW(std::shared_ptr<EntityHead> head, const AdamWOptions& options);

  // Before a step's backward passes.
  void begin();
  // After them: the gradients are the sums over all processes, in each the same bits. A call of
  // all.
  void finish(dist::Group& group);
  // The L2 norm of all gradients, `norm` being that of the others.
  double norm_with(double norm) const;
  torch::Tensor late_norm_with(const torch::Tensor& norm) const;  // scalar F64, nobody waits
  // As AdamW's, `norm` being that of all gradients.
  void step(double lr, double norm);
  void late_step(double lr, const torch::Tensor& norm);

 private:
  void step(ops::AdamWStep how);

  const std::shared_ptr<EntityHead> head_;
  const AdamWOptions options_;
  torch::Tensor gradient_;  // [S, E]; undefined: no class was used
};

}  // namespace opencloc
