// The data engine as stages over batches of samples: caption -> phrases -> detect -> select, and
// caption -> mentions -> link.
// What a stage makes lies in the record, so that a later one can run alone, in another run, on the
// shards of an earlier one:
//   caption   "caption" (and the older one among "captions")
//   phrases   "phrases": ["red bus", ...]
//   detect    "candidates": [{"box", "text", "score"}, ...]
//   select    "regions"
//   mentions  "entity_mentions": [{"mention", "span"}, ...]
//   link      "entities", and which entity each mention was taken for
// and how it was made under "vesl": {"caption": {...}, "phrases": {...}, ...}.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "opencloc/data/look/label_output.h"
#include "opencloc/image/image.h"

namespace opencloc {

struct LabelSample {
  std::string name;  // "shard.tar#key", for logs
  Record record;
  Image image;  // decoded when a stage needs it
};

class Stage {
 public:
  virtual ~Stage() = default;
  virtual std::string name() const = 0;
  virtual bool needs_images() const { return false; }
  // In place. Throws Error for what concerns the whole run; what concerns one sample is counted.
  virtual void run(std::span<LabelSample> batch) = 0;
  // All that decides the stage's output: it goes into every record and into the shard's report.
  virtual Json config() const = 0;
  // All samples of a shard went through: throws Error (failed) when what was made of it must not
  // count as finished. Called before take_report().
  virtual void check_shard(const std::string& shard) const { static_cast<void>(shard); }
  // Counts since the last call, for the shard's report.
  virtual Json take_report() = 0;
};

// A box that a detector found, before the selection.
struct Candidate {
  Box box;  // in [0, 1] of the picture
  std::string text;
  float score = 0;
  std::string source = {};  // who found it; empty: the detector of the run
};

// Of the record; empty when there are none. Throws BadSample when the record holds something else.
std::vector<std::string> stored_phrases(const LabelSample& sample);
std::vector<Candidate> stored_candidates(const LabelSample& sample);
void store_phrases(LabelSample& sample, const std::vector<std::string>& phrases);
void store_candidates(LabelSample& sample, const std::vector<Candidate>& candidates);

// Writes record["vesl"][stage] = how.
void store_provenance(LabelSample& sample, const std::string& stage, const Json& how);
// The text phrases are taken from: as the caption stage chose, else image_text().
std::string chosen_text(const LabelSample& sample);

}  // namespace opencloc
