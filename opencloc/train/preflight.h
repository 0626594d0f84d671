// A look at data, model and recipe before step 1, so that a run that cannot work does not start,
// and one that is likely to disappoint says so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "opencloc/data/load/loader_store.h"
#include "opencloc/model/config/config.h"
#include "opencloc/text/tokenizer.h"
#include "opencloc/train/config.h"

namespace opencloc {

struct PreflightLine {
  enum class Verdict { kFine, kWarning };
  std::string subject;
  std::string finding;
  Verdict verdict = Verdict::kFine;
};

struct Preflight {
  std::vector<PreflightLine> lines;
  std::string table() const;  // for people
};

// Reads up to 256 random samples. Throws Error (input) when none of them can be used.
// `weights`, `trained`: numbers of the model, and of those that learn.
Preflight preflight(const TrainConfig& config, const ModelConfig& model, int64_t weights,
                    int64_t trained, const SampleStore& store, const Tokenizer& tokenizer);

}  // namespace opencloc
