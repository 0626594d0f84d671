// Training of a multimodal language model over an image tower, as a run (train/run.h): resumed
// exactly, in one process or in many. The whole is trained at once (LLaVA's second stage), or only
// what joins tower and language model (its first), from a model of an earlier run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "opencloc/dist/group.h"
#include "opencloc/mllm/mllm_model.h"
#include "opencloc/train/config.h"
#include "opencloc/train/run.h"

namespace opencloc {

struct MllmTrainConfig : RunConfig {
  std::string vision;  // model directory of the tower
  std::string init;    // or a multimodal model to go on from, whose settings count
  MllmSettings settings;
  int64_t vocab_size = 4096;  // of the tokenizer, at most; it is built from the dialogues
  int64_t dialogues = 4;      // of a picture at a time
  bool projector_only = false;
  bool unlock_vision = false;
  double vision_lr_scale = 0.1;  // of the tower's learning rate, where it learns
  bool train_prompter = false;   // the Prompter, where it is the source of regions

  // Called with `val` on the model as it is then; its figures by task are kept. Empty: nothing is
  // evaluated. A call of all processes.
  std::function<Json(MllmModel& model, int64_t step, dist::Group& group)> evaluate;

  // Throws Error (input) naming the setting that makes no sense.
  void check() const;
};

// Runs (or resumes) training in config.out until config.steps are done (train/run.h).
TrainResult train_mllm(MllmTrainConfig config, dist::Group& group = dist::alone());

}  // namespace opencloc
