// `opencloc train`: pre-training.
#include <memory>

#include "opencloc/base/error.h"
#include "opencloc/cli/outputs.h"
#include "opencloc/cli/train_flags.h"
#include "opencloc/cli/verb.h"
#include "opencloc/train/trainer.h"

namespace opencloc::cli {
namespace {

constexpr const char* kTrainFooter = R"(Example:
  opencloc data scenes --count 20000 --size 128 --seed 1 --out scenes
  opencloc train --data scenes --model ViT-XS-16-128 --steps 1000 --batch-size 64 --out runs/demo
  # killed or interrupted? the same command goes on where it stood
  opencloc eval --model runs/demo/model --data scenes
  # the first 80 % of the samples as smaller pictures
  opencloc train --data scenes --model ViT-XS-16-128 --image-size-schedule 64:0.8 --steps 1000 --out runs/fast
  # regions of a CLIP from its own embeddings of crops, with or without labels
  opencloc train --data scenes --init clip/model --lock-image --lock-text --crop-distill-weight 1 \
      --crop-distill-momentum 1 --steps 1000 --out runs/crops
  # entities as classes (docs/guide/mofi.md): shards of 'label --stages mentions,link'
  opencloc data classes --data linked --min-images 5 --out classes.tsv
  opencloc train --data linked --objective clip --caption-from alt_text --entity-classes classes.tsv \
      --model ViT-XS-16-128 --steps 1000 --batch-size 64 --out runs/mofi

The run directory holds model/, checkpoints/, metrics.jsonl, config.toml and report.html
(docs/guide/training.md).)";

void check_train_flags(const CLI::App& app, const TrainFlags& flags) {
  const bool init = !flags.config.init.empty();
  if (init && app.get_option("--model")->count() > 0) {
    throw Error::input("--init is a model already, whose architecture --model cannot change",
                       "--model " + flags.config.model + " --init " + flags.config.init,
                       "leave one of the two out");
  }
  if (!init && !flags.config.init_architecture.empty())
    throw Error::input("an architecture goes with --init", "--architecture",
                       "name a new model with --model");
  check_output_folder("--out", flags.out, {flags.config.data, flags.config.init});
}

}  // namespace

void add_train(CLI::App& app) {
  const auto flags = std::make_shared<TrainFlags>();
  add_train_flags(app, *flags);
  add_dist_flags(app, flags->dist, Exchanged::kOnDevice);
  add_common_flags(app, flags->common);
  app.footer(kTrainFooter);
  app.callback([flags, &app] {
    check_train_flags(app, *flags);
    const dist::Place place = place_of(flags->dist);
    TrainConfig config = train_config(*flags, place.local_rank);
    config.effective = effective_flags(app);
    run_in_job(*flags, place, config, [&](dist::Group& group) { return train(config, group); });
  });
}

}  // namespace opencloc::cli
