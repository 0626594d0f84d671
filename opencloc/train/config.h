// Everything that decides what a training run does: what is the same for all models, and what is
// trained. The verbs' flags fill it (cli/train_flags.cc); their help texts say what each means.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/data/load/loader_sample.h"
#include "opencloc/model/config/config.h"
#include "opencloc/objective/crop_teacher.h"
#include "opencloc/objective/distillation.h"
#include "opencloc/objective/entities.h"
#include "opencloc/objective/objective.h"
#include "opencloc/objective/self_supervision.h"
#include "opencloc/ops/precision.h"
#include "opencloc/text/tokenizer.h"
#include "opencloc/train/lock.h"
#include "opencloc/train/optimizer.h"

namespace opencloc {

// Of a run, whatever is trained.
struct RunConfig {
  // Data. Globs joined by "::" are sources.
  std::string data;
  std::string data_weights;     // "1::2": shares of the samples drawn; empty: by size
  std::string data_upsampling;  // "1::2": open_clip's factors on the sizes
  std::string val;              // for evaluation and the report's pictures; empty: none
  bool skip_bad_shards = false;
  int workers = 0;  // decoding threads; 0: one a processor, at most 16

  SampleOptions sample;  // its canvas and context length come from the model

  // Optimisation.
  int64_t steps = 0;
  int64_t samples = 0;  // instead of steps
  double epochs = 0;    // instead of steps: passes over all data
  int64_t batch_size = 64;
  int64_t accum_freq = 1;
  double lr = 5e-4;
  int64_t warmup = -1;  // steps; -1: 2000, but at most a tenth of the run
  AdamWOptions adamw;
  Precision precision = Precision::kFp32;  // of matrix products
  std::string device = "cpu";
  Backend backend = Backend::kKernels;  // of the CPU (ops/precision.h)
  uint64_t seed = 0;

  // Several processes.
  int zero = 0;            // 1: each keeps its share of the optimizer's state (ZeRO-1)
  int64_t bucket_mb = 25;  // gradients that are sent together

  // The run directory.
  std::filesystem::path out;
  std::string resume = "auto";  // auto | none | latest | a checkpoint's path
  bool overwrite = false;       // with resume none: an earlier run in `out` is removed
  int64_t save_every = 0;       // steps; 0: a tenth of the run
  int64_t eval_every = 0;       // steps; 0: only at the end
  int64_t log_every = 10;
  int64_t keep_checkpoints = 2;  // 0: all
  int report_pictures = 8;
  bool progress = true;
  std::string effective;  // "flag = value" lines of the whole configuration, for config.toml

  // Throws Error (input) naming the setting that makes no sense.
  void check() const;
  // Fills what follows from the rest: steps, warmup, save_every, workers. `data_samples`: in all
  // sources.
  void complete(uint64_t data_samples);
};

// The first `share` of a run's samples have pictures of `size` pixels, the rest those of the model
// (Li et al., "An Inverse Scaling Law for CLIP Training" (CLIPA), NeurIPS 2023).
struct ImageSizeSchedule {
  int64_t size = 0;
  double share = 0;
  // How many of so many steps.
  int64_t early_steps(int64_t steps) const;
};
// "48:0.8". Throws Error (input).
ImageSizeSchedule parse_image_size_schedule(std::string_view text);

// Of CLIP, CLOC and CoCa.
struct TrainConfig : RunConfig {
  // Model: a name, a JSON file, or a model directory to start from.
  std::string model = "ViT-XS-16-128";
  std::string init;
  std::string init_architecture;  // of an `init` without configuration
  std::string tokenizer;          // file or folder; empty: built from the captions
  int64_t vocab_size = 8192;
  std::optional<RegionExtractor> region_extractor;
  std::optional<Pool> pool;
  std::optional<bool> joint_box_token;
  std::optional<BoxEncoding> box_encoding;
  std::optional<bool> several_layers;
  std::optional<bool> position_image_tokens;
  std::optional<double> region_logit_scale;  // where L_CLOC's begins: not its logarithm
  std::optional<CanvasRule> resize_mode;
  std::optional<int64_t> context_length;
  std::optional<int64_t> image_size;  // in place of the model's: positions of an `init` follow
  std::optional<ImageSizeSchedule> image_size_schedule;
  LockOptions lock;     // with `init`
  bool siglip = false;  // a new model gets a logit_bias, and with it the sigmoid loss

  // Objective.
  const ObjectiveRow* objective = find_objective("cloc");  // a line of the table, or one's own
  ObjectiveOptions objective_options;
  SelfSupervisionOptions self_supervision;
  DistillationOptions distillation;
  CropDistillationOptions crop_distillation;
  std::filesystem::path entity_classes;  // the table; empty: no L_entity
  std::filesystem::path entity_base;     // descriptions, for texts from entities
  EntityOptions entities;                // warm-up and seed come from the run
  // Equal texts are no negatives of each other; nothing: only where texts are entities.
  std::optional<bool> mask_equal_texts;

  bool learns_entities() const { return !entity_classes.empty() && entities.weight > 0; }
  // Reads the tables into sample.entities. Throws Error (input).
  void read_entities();

  // Called with `val` on the model as it is then; its figures by task go into metrics.jsonl and the
  // report ({"retrieval": {"image R@1": 0.5}}). Empty: nothing is evaluated.
  // A call of all processes of `group`; the first one's result is kept.
  std::function<Json(Cloc& model, const Tokenizer& tokenizer, int64_t step, dist::Group& group)>
      evaluate;

  // Throws Error (input) naming the setting that makes no sense.
  void check() const;
  // RunConfig's, and what follows from the objective.
  void complete(uint64_t data_samples);
};

// "1::2" -> {1, 2}. Throws Error (input) naming `setting`.
std::vector<double> parse_weights(std::string_view text, std::string_view setting);
// The sampler's weights for sources of these sizes; empty = by size.
std::vector<double> source_weights(const RunConfig& config, const std::vector<uint64_t>& sizes);

}  // namespace opencloc
