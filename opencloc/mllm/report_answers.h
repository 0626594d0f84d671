// Pictures of a training report: what the model answers, and where it points.
#pragma once

#include <vector>

#include "opencloc/data/load/loader_store.h"
#include "opencloc/mllm/mllm_model.h"
#include "opencloc/train/report.h"

namespace opencloc {

// The first `count` pictures of `store` with dialogues, in a random order that never changes, with
// the questions about each, the given answers and the model's; boxes of the answers are drawn.
std::vector<ReportPicture> report_answers(const SampleStore& store, MllmModel& model, int count);

// One picture with its answered dialogues.
ReportPicture answered_picture(const MllmModel& model, const Image& picture,
                               const std::vector<Dialogue>& dialogues,
                               const std::vector<std::string>& answers);

}  // namespace opencloc
