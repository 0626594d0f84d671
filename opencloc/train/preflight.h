// A look at data, model and recipe before step 1, so that a run that cannot work does not start,
// and one that is likely to disappoint says so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "opencloc/data/loader_store.h"
#include "opencloc/model/config.h"
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
Preflight preflight(const TrainConfig& config, const ModelConfig& model, int64_t parameters,
                    const SampleStore& store, const Tokenizer& tokenizer);

// Bytes that training takes at its peak, roughly: weights, gradients, moments, and the activations
// of one part of the batch.
double estimate_memory(const TrainConfig& config, const ModelConfig& model, int64_t parameters);

}  // namespace opencloc
