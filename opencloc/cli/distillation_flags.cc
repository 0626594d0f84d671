// The flags of self-distillation and of crop distillation in `opencloc train`.
#include "opencloc/cli/train_flags.h"

namespace opencloc::cli {
namespace {

void add_crop_distillation_flags(CLI::App& app, CropDistillationOptions& options) {
  const char* group = "Crop distillation, beside the objective";
  app.add_option(
         "--crop-distill-weight", options.weight,
         "of 1 - cosine between the embedding of a box and a teacher's embedding of the box "
         "cut out (CLIPSelf, FineCLIP); boxes need no labels; 0 = off")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--crop-distill-boxes", options.boxes,
                 "per picture: each second one of its regions, the others anywhere")
      ->capture_default_str()
      ->group(group);
  app.add_option("--crop-distill-size", options.size,
                 "pixels along the side of a crop for the teacher; 0 = half of the model's")
      ->capture_default_str()
      ->group(group);
  app.add_option("--crop-distill-momentum", options.momentum,
                 "of the teacher, the moving average of the image tower; 1 = frozen, with --init")
      ->capture_default_str()
      ->group(group);
}

}  // namespace

void add_distillation_flags(CLI::App& app, TrainFlags& flags) {
  auto& options = flags.config.distillation;
  const char* group = "Self-distillation, beside the objective";
  app.add_option("--distill-weight", options.weight,
                 "of what a teacher, the tower's moving average, says of hidden patches (iBOT, "
                 "TIPS); 0 = off")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--distill-global-weight", options.global_weight,
                 "of what it says of the whole picture; 0 = off")
      ->check(not_negative())
      ->capture_default_str()
      ->group(group);
  app.add_option("--distill-mask", options.mask, "share of a picture's patches that are hidden")
      ->capture_default_str()
      ->group(group);
  app.add_option("--distill-places", flags.distill_places,
                 "which patches are scored: hidden, or all (TIPSv2)")
      ->check(CLI::IsMember({"hidden", "all"}))
      ->capture_default_str()
      ->group(group);
  app.add_option("--distill-dim", options.head.prototypes, "prototypes of the head")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str()
      ->group(group);
  app.add_option("--distill-width", options.head.hidden, "of the head's hidden layers")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  app.add_option("--distill-bottleneck", options.head.bottleneck,
                 "of what is compared with the prototypes")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str()
      ->group(group);
  app.add_option("--distill-temperature", options.temperature, "of the student")
      ->capture_default_str()
      ->group(group);
  app.add_option("--distill-teacher-temperature", options.teacher_temperature,
                 "of the teacher; it rises from 0.04")
      ->capture_default_str()
      ->group(group);
  app.add_option("--distill-momentum", options.momentum, "of the teacher at the first step")
      ->capture_default_str()
      ->group(group);
  app.add_option("--distill-momentum-end", options.momentum_end,
                 "and at the last one, along a cosine")
      ->capture_default_str()
      ->group(group);
  add_crop_distillation_flags(app, flags.config.crop_distillation);
}

}  // namespace opencloc::cli
