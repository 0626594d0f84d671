// Each task's figures from what collect() gathered.
#pragma once

#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/eval/collect.h"

namespace opencloc {

// A task's keys of spec/interfaces.md section 4 and more, or why it could not run.
struct TaskResult {
  Json figures;
  std::string not_run;  // empty when it ran
};

struct TaskInput {
  Collected& data;
  Collected* train;  // of options.train_data; null: none, or the data itself
  TextBank& texts;
  TextEncoder& encoder;
  const EvalOptions& options;
};

// Class name of a picture among options.classes (or the labels there are), options.templates.
TaskResult zeroshot(TaskInput& input);
// Captions and pictures of one pair are right for each other (CLIP_benchmark): text -> image asks
// for the caption's picture, image -> text for any of the picture's captions.
TaskResult retrieval(TaskInput& input);
// Name of a ground-truth box among options.classes (or the region texts there are), also by the
// size of the box (COCO's limits, of the box's area) and by LVIS's frequency of its class.
TaskResult region_recognition(TaskInput& input, RegionMethod method);
// Regions and their texts, all n of them as candidates; equal texts are right for each other. Where
// there are distractors, also with them among the candidates of text -> region.
TaskResult region_retrieval(TaskInput& input, RegionMethod method);
TaskResult grounding(TaskInput& input);

// The right text against wrong ones (eval/choice.cc): of pictures, of regions by every method, and
// of Winoground's pairs.
TaskResult choice(TaskInput& input, const std::vector<RegionMethod>& methods);
// The picture of a text about one of its objects (eval/object_retrieval.cc): by the picture's
// embedding, and by its best box by every method.
TaskResult object_retrieval(TaskInput& input, const std::vector<RegionMethod>& methods);

// Pictures with a label against each other: eval/average_precision.h, also by group.
TaskResult instance_retrieval(TaskInput& input);
// The label by the nearest pictures of the training data: eval/knn.h.
TaskResult knn(TaskInput& input);
// options.probe_label by a linear classifier learned on the training data: eval/linear_probe.h.
TaskResult linear_probe(TaskInput& input);

}  // namespace opencloc
