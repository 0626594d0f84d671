// The flags of `opencloc train`, and what they make of a TrainConfig.
#pragma once

#include <optional>
#include <string>

#include "opencloc/cli/run_flags.h"
#include "opencloc/eval/evaluate.h"
#include "opencloc/train/config.h"

namespace opencloc::cli {

struct TrainFlags : RunFlags {
  TrainConfig config;  // what maps one to one
  EvalOptions eval;    // of --val
  // Words that stand for values.
  std::string objective = "cloc", region_extractor, pool, joint_box_token, box_encoding,
              prompter_layers, position_image_tokens, resize_mode, text_filter = "0.9",
              grounding = "on", grounding_loss = "l1_giou", box_recovery = "on",
              quality_gradient = "all", augment = "on", mae_normalize, mae_decoder = "2x128",
              mlm_sees = "image", caption_from = "caption", equal_texts, distill_places = "hidden",
              region_score = "off", image_size_schedule;
  std::optional<double> mae_weight, mlm_weight;  // without them the objective's own
  std::optional<double> region_logit_scale;
  int64_t context_length = 0, image_size = 0;
  double flip = 0;
};

void add_train_flags(CLI::App& app, TrainFlags& flags);
// The part of them that self-distillation and crop distillation have (distillation_flags.cc).
void add_distillation_flags(CLI::App& app, TrainFlags& flags);
// For the process of this number on its machine, which takes a GPU of its own where there are
// enough. Throws Error (input) naming the flag.
TrainConfig train_config(const TrainFlags& flags, int local_rank);
}  // namespace opencloc::cli
