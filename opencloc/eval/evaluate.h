// The evaluation tasks (spec/interfaces.md section 4), in one pass over the data: zero-shot
// classification, image-text retrieval, region recognition, region retrieval and grounding; and,
// where they are asked for, the choice between a right text and wrong ones, the search for a
// picture by one of its objects, and what image embeddings are worth without texts: instance
// retrieval, nearest neighbours and a linear probe.
// Goals: memory linear in the data (similarities are computed in strips), the same numbers whatever
// the strip. Non-goals: detection metrics; boxes are given, or predicted from one phrase each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/dist/group.h"
#include "opencloc/encode/regions.h"
#include "opencloc/eval/box_selection.h"
#include "opencloc/model/cloc/cloc.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

enum class Task {
  kZeroshot,
  kRetrieval,
  kRegionRecognition,
  kRegionRetrieval,
  kGrounding,
  kChoice,
  kObjectRetrieval,
  kInstanceRetrieval,
  kKnn,
  kLinearProbe
};

struct EvalOptions {
  std::vector<Task> tasks{Task::kZeroshot, Task::kRetrieval, Task::kRegionRecognition,
                          Task::kRegionRetrieval, Task::kGrounding};
  // The first one's figures stand at the top of a task's result. Empty: what the model was trained
  // with (prompter or roi_align), crop for a model without region heads.
  std::vector<RegionMethod> region_methods;
  // False for a plain CLIP: its region heads are untrained, so that grounding and the prompter
  // method are unavailable (reported, not run).
  bool region_heads = true;
  // Candidate names of zero-shot and region recognition. Empty: the distinct labels or region
  // texts of the data, sorted. Samples and regions named otherwise are left out and counted.
  std::vector<std::string> classes;
  // By which labels records call the classes, where those are others (eval/templates.h).
  std::vector<std::string> class_labels;
  // Prompts of zero-shot and of region recognition, "{}" for the name; a class is the normalised
  // mean over them. Empty: bare names.
  std::vector<std::string> templates;
  std::vector<std::string> region_templates;
  // Prompts and the texts of choices in lower case.
  bool lower_case = false;
  // Which boxes count, and distractors.
  BoxSelection boxes;
  // Grounding asks for every region's phrase, not only for those that occur once in their picture.
  bool every_phrase = false;
  // What stands for a region in words: its "text", or what it has under another key, where it has
  // it: "phrase" (name and attributes), "name".
  std::string region_text = "text";
  // Grounding by the box head, or by the nearest of all boxes of the grid (search_boxes.h).
  bool ground_by_search = false;
  // Shards that kNN and the linear probe learn from, patterns as for the data. Empty, or the data
  // itself: in kNN every picture is asked about among the others, and there is no linear probe.
  std::string train_data;
  // What the linear probe learns (eval/record_value.h), and the seed of the split that chooses its
  // lambda.
  std::string probe_label = "label";
  uint64_t seed = 0;

  int64_t batch_size = 64;   // pictures (and crops) encoded at a time
  int64_t region_batch = 0;  // region and text prompts at a time; 0: regions_at_a_time()
  int64_t chunk = 1024;      // rows of a similarity matrix alive at a time
  int64_t max_samples = 0;   // stop after this many good samples; 0 = all
  int64_t workers = 0;       // decoding threads; 0 = one a processor
  bool skip_bad_shards = false;
  bool progress = true;  // a bar on stderr
  // The processes that share the work, each with the same model, data and options. All get the
  // result, which is one process's to the last digit: every batch and every strip of similarities
  // is made whole by one of them.
  dist::Group* group = &dist::alone();
};

// Runs `options.tasks` on the shards of `data_glob` (patterns joined by "::"). The model is put in
// eval mode and back; gradients are off; its device is used. Deterministic.
//
// Result: one object per task that applies, keys of spec/interfaces.md section 4, plus
//   "skipped": {reason: n}    broken samples and boxes by reason
//   "not_run": {task: why}    tasks without data (no labels, no captions, ...) or region heads
//   "truncated_texts": {"texts": , "share": }
//   "train": {"samples": , "skipped": {}}    where `train_data` was read
// and in the region tasks "methods": {method: figures} when several methods ran.
// Throws Error (input) for a glob without shards, data without one good sample, a method that the
// model does not have, training data that share some of the data's shards, or a linear probe
// without training data of its own.
Json evaluate(Cloc& model, const Tokenizer& tokenizer, const std::string& data_glob,
              const EvalOptions& options = {});

// A table for people of what evaluate() returned.
std::string results_table(const Json& results);

// Names as on the command line and in results. Error (input) for unknown ones.
const char* to_string(Task task);
Task parse_task(std::string_view name);

}  // namespace opencloc
