// From candidates to regions: threshold, one phrase a box, non-maximum suppression, at most K.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "opencloc/label/stage.h"

namespace opencloc {

struct SelectOptions {
  float threshold = 0.1f;  // of the score
  float nms_iou = 0.5f;    // boxes that overlap more are one, whatever their phrases
  size_t most = 20;        // K, the most confident first
  float smallest = 0;      // share of the picture below which a box is dropped
};

// In descending order of score; equal scores in the order given. Boxes without area and scores that
// are no numbers are left out.
std::vector<Candidate> select_candidates(std::vector<Candidate> candidates,
                                         const SelectOptions& options);

// "candidates" of the record -> "regions" (source: the candidate's own, else `source`), which
// replace the older ones of the same sources.
struct SelectStageOptions {
  SelectOptions select = {};
  std::string source = "owlv2";
  std::vector<std::string> other_sources = {};  // of candidates that have their own
  bool keep_candidates = false;
};
std::unique_ptr<Stage> select_stage(const SelectStageOptions& options);

}  // namespace opencloc
