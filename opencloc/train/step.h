// One training step of any objective: encode -> loss over all embeddings -> gradients back.
#pragma once

#include <cstdint>

#include "opencloc/data/load/batch.h"
#include "opencloc/objective/objective.h"

namespace opencloc {

struct StepOptions {
  // Parts the batch is passed through the model in, with all its negatives. 1: autograd over the
  // whole. More: cached embeddings (Gao et al., "Scaling Deep Contrastive Learning Batch Size under
  // Memory Limited Setup", 2021): all pieces forward without a graph, the loss and its gradient by
  // the embeddings, each piece forward again with a graph and its share of that gradient backward.
  // The parameters' grad equals the whole batch's up to rounding; in memory are the activations of
  // ceil(B / accum_freq) images or as many texts, whichever take more. (Gradient accumulation over
  // smaller batches would be another loss, with fewer negatives.)
  int64_t accum_freq = 1;
  dist::Group* group = &dist::alone();
  int64_t step = 0;  // of the run, from 0
  // Nobody waits for the device: the loss is late_loss, and the backward pass is made whatever it
  // is.
  bool late = false;
};

struct StepResult {
  double loss = 0;          // the total, over all processes; 0 with StepOptions::late
  torch::Tensor late_loss;  // the same as a scalar F64 where it was computed, with it
  Figures figures;          // over all processes
  bool finite() const;      // is `loss`?
};

// Adds the gradients of the batch's loss to the parameters' grad: this process's share of them.
// Check finite() (with `late` the norm of the gradients): the gradients of a loss that is not are
// of no use, and mostly there is no backward pass at all (with parts, a captioner's words are found
// not finite only during it). A batch with nothing to learn from has loss 0 and no gradients. The
// batch may lie on the CPU.
StepResult forward_backward(Objective& objective, const Batch& batch,
                            const StepOptions& options = {});

// Before the optimizer's step, with gradients that are complete: at its cap a logit scale may only
// come down.
void hold_capped_logit_scales(const Cloc& model);
// After it: both logit scales stay at or below ln 100. A frozen one, and that of the sigmoid loss,
// which has no cap, are left alone.
void clamp_logit_scales(const Cloc& model);

}  // namespace opencloc
