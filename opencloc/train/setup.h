// What a run starts from: tokenizer and model.
#pragma once

#include <memory>
#include <optional>

#include "opencloc/data/load/loader_store.h"
#include "opencloc/model/cloc/cloc.h"
#include "opencloc/text/tokenizer.h"
#include "opencloc/train/checkpoints.h"
#include "opencloc/train/config.h"

namespace opencloc {

struct TrainedParts {
  Cloc model{nullptr};  // on the CPU
  std::shared_ptr<const Tokenizer> tokenizer;
};

// From the checkpoint where there is one, else from config.init (a model directory), else new:
// the tokenizer named, or one built from the captions and region texts (saved in the run), and the
// model of that name with weights drawn from the seed. Throws Error (input).
TrainedParts set_up(const TrainConfig& config, const SampleStore& store,
                    const std::optional<Checkpoint>& checkpoint);

}  // namespace opencloc
