// Self-distillation beside language supervision: the image tower sees a picture with patches hidden
// and must say of each hidden place what a teacher says that sees all of it. The teacher is the
// moving average of the tower itself (Zhou et al., "iBOT", ICLR 2022; Oquab et al., "DINOv2", 2024;
// beside captions: Maninis et al., "TIPS", ICLR 2025).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "opencloc/model/self_supervision/prototype_head.h"
#include "opencloc/objective/objective.h"

namespace opencloc {

// Where student and teacher are compared: in the hidden places (iBOT, TIPS), or in all that are not
// padding (TIPSv2's iBOT++).
enum class ScoredPlaces { kHidden, kAll };

struct DistillationOptions {
  double weight = 0;         // of the patches
  double global_weight = 0;  // of the pooled token, too: the masked picture's and the whole one's
  double mask = 0.75;        // share of a picture's patches that are hidden
  ScoredPlaces places = ScoredPlaces::kHidden;
  PrototypeHeadConfig head;
  double temperature = 0.1;           // of the student
  double teacher_temperature = 0.07;  // at first 0.04, if that is less
  double momentum = 0.994;            // of the teacher at the first step ...
  double momentum_end = 1;            // ... and at the last one, along a cosine
  int64_t steps = 1;                  // of the run

  bool on() const { return weight > 0 || global_weight > 0; }
  // After so many updates.
  double momentum_after(int64_t updates) const;
  double teacher_temperature_after(int64_t updates) const;
};

// What it trains beside the model, and the teacher. A teacher's weights have no gradient, and no
// optimizer steps them.
class SelfDistillationImpl : public torch::nn::Module {
 public:
  using Weights = std::vector<std::pair<std::string, torch::Tensor>>;

  // The head is drawn from torch's generator.
  SelfDistillationImpl(const DistillationOptions& options, const ModelConfig& model);
  // The teacher begins as the student.
  void start(const Cloc& model);

  Weights trained() const;  // hidden_patch, head.*
  // All that an exact resume needs: also teacher.*, centre, global_centre and updates.
  Weights beside() const;

  // One batch: how many places and pictures are scored in all processes; then, part by part, the
  // teacher's logits [n, K] -> its distributions [n, K].
  struct Scored {
    double places = 0, images = 0;
  };
  void begin(const Scored& scored);
  torch::Tensor distributions_of_places(const torch::Tensor& logits);
  torch::Tensor distributions_of_images(const torch::Tensor& logits);

  // After the optimizer's step, a call of all processes: the centres follow the whole batch's mean
  // logits (momentum 0.9), the teacher follows the student.
  void after_update(const Cloc& model, dist::Group& group);

  // Entropy in nats of the teacher's mean distribution over the last batch: log K where all
  // prototypes are used alike, 0 where the teacher says the same of every place. Waits for the
  // device. None before the first step.
  std::optional<double> mean_entropy() const;

  torch::Tensor hidden_patch;  // [D]: what stands in hidden places
  PrototypeHead head{nullptr};
  VisionTower teacher_tower{nullptr};
  PrototypeHead teacher_head{nullptr};

 private:
  struct Side {
    torch::Tensor centre;  // [K], a buffer
    torch::Tensor sums;    // [2, K]: logits and probabilities of this process's batch; or undefined
    double scored = 0;     // in all processes
  };
  torch::Tensor distributions(const torch::Tensor& logits, Side& side);
  void follow_batch(Side& side, dist::Group& group);
  void follow(const Cloc& model, double momentum);

  const DistillationOptions options_;
  Side places_, images_;
  torch::Tensor updates_;  // [1] int64, in main memory
  torch::Tensor entropy_;  // scalar
};
TORCH_MODULE(SelfDistillation);

// `base` and this loss. Batches need patch_order (SampleOptions). A part of the batch is a piece
// with its own loss, so that memory is one piece's; the loss is the mean over all scored places of
// all processes. Error (input): a captioner.
std::unique_ptr<Objective> with_distillation(std::unique_ptr<Objective> base, const Cloc& model,
                                             const SelfDistillation& distillation,
                                             const DistillationOptions& options);
// The same error, before a run begins.
void check_distillation(const ModelConfig& model, const DistillationOptions& options);

}  // namespace opencloc
