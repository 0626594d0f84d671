// What a run trains: a model, from its start to its files. A run (run.h) does all that is the same
// for every model: data, steps, checkpoints, metrics, processes. CLIP, CLOC and CoCa are one
// (trainer.cc), multimodal language models another (mllm/trainer.cc).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/data/load/batch_builder.h"
#include "opencloc/data/load/loader_sample.h"
#include "opencloc/data/load/loader_store.h"
#include "opencloc/dist/group.h"
#include "opencloc/objective/entity_head.h"
#include "opencloc/objective/objective.h"
#include "opencloc/text/tokenizer.h"
#include "opencloc/train/checkpoints.h"
#include "opencloc/train/config.h"
#include "opencloc/train/report.h"

namespace opencloc {

// Its calls come in this order; config() at any time.
class Trainee {
 public:
  virtual ~Trainee() = default;

  virtual const RunConfig& config() const = 0;
  // What of the configuration follows from the number of samples (RunConfig::complete).
  virtual void complete(uint64_t data_samples) = 0;

  // In the first process alone: from the checkpoint where there is one, else as configured. Throws
  // Error (input).
  virtual void set_up(const SampleStore& store, const std::optional<Checkpoint>& checkpoint) = 0;
  // In all processes: what the first one has.
  virtual void share(dist::Group& group) = 0;
  // On the device, in training mode -> the parameters that learn, by name.
  virtual NamedTensors place() = 0;

  // In the first process, before step 1: what was found in data, model and recipe, as a table.
  // Throws Error (input) for a run that cannot work.
  virtual std::string look_ahead(const SampleStore& store, const NamedTensors& trained) = 0;
  // How the loader makes a sample, and its picture's numbers.
  virtual SampleOptions samples() const = 0;
  virtual PixelOptions pixels() const = 0;
  // Pixels along the side of the canvas: those of the first steps of the run may be fewer.
  struct ImageSizes {
    int64_t early = 0, late = 0;
    int64_t early_steps = 0;
    int64_t at(int64_t step) const { return step < early_steps ? early : late; }  // from 0
  };
  // Nothing: no schedule.
  virtual std::optional<ImageSizes> image_sizes() const { return std::nullopt; }
  virtual const Tokenizer& tokenizer() const = 0;

  // What a step computes, and what goes with an update of the weights.
  virtual Objective& objective() = 0;
  virtual void before_update() {}
  virtual void after_update() {}
  // A table of which a step uses few rows, which learn beside the parameters. Null: there is none.
  virtual std::shared_ptr<EntityHead> entity_head() { return nullptr; }

  // A call of all processes of `group`; the first one's figures are kept, by task. In training mode
  // again afterwards.
  virtual bool evaluates() const { return false; }
  virtual Json evaluate(int64_t /*step*/, dist::Group& /*group*/) { return Json::object(); }

  // In the first process: a model directory, with `about` the run in it.
  virtual void save(const std::filesystem::path& folder, const Json& about) const = 0;
  // What training needs beside the model: kept in checkpoints, and nowhere else.
  virtual NamedTensors beside() const { return {}; }
  // Of the report: what is trained, e.g. "(CLOC), ViT-B-16", and pictures of `store`.
  virtual std::string title() const = 0;
  virtual std::vector<ReportPicture> pictures(const SampleStore& store) = 0;
};

}  // namespace opencloc
