// Answers to the dialogues of a data set, scored by the rules of the published evaluations and by
// stricter ones (dialogue/score.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/dist/group.h"
#include "opencloc/mllm/answers.h"
#include "opencloc/mllm/mllm_model.h"

namespace opencloc {

struct MllmEvalOptions {
  std::vector<std::string> tasks;  // of Dialogue::task; empty: all that can be scored
  AnswerOptions answers;
  // A file of JSON lines to write, one for each answer: {"sample", "task", "ask", "say" (both with
  // the frame's numbers), "answer", "prompt_ids", "ids", "ended"}. Empty: none.
  std::filesystem::path answers_file;
  int64_t max_samples = 0;  // stop after this many good samples; 0 = all
  int threads = 1;          // decoding
  bool skip_bad_shards = false;
  bool progress = true;
};

// The last turn of every dialogue is asked. Result, by task:
//   refer, point, name   {"acc" (Ferret's rule), "strict_acc", "names_both", "n"}
//   ground               {"acc@0.5", "mean_iou", "no_box", "n", "constant_box": acc@0.5 of the mean
//                        of all true boxes}
//   ground_many          {"recall@1", "any_box_recall@1", "upper_bound", "no_box", "n"}
//   exists               {"accuracy", "f1", ..., "random": {...}, "frequent": {...}, "together"}
//   count, relation      {"acc", "n"}
// and "skipped": {reason: n}, "unended": answers that were cut off. Throws Error (input) for a glob
// without shards, and data without one dialogue that can be scored.
Json evaluate_mllm(MllmModel& model, const std::string& data_glob,
                   const MllmEvalOptions& options = {});

// A table for people.
std::string mllm_results_table(const Json& results);

// The tasks that can be scored. Error (input) naming those that there are, for another one.
void check_scored_task(const std::string& task);

}  // namespace opencloc
