// What `convert --quantize` loses, measured on data the user gives.
#pragma once

#include <cstdint>
#include <string>

#include "opencloc/base/json.h"
#include "opencloc/checkpoint/model_directory.h"

namespace opencloc {

struct LossData {
  std::string glob;         // shards
  int64_t max_samples = 0;  // 0: all
};

// Quantises the model's towers in place, and compares before and after:
//   {"samples": n, "cosine": {"image_embeds": {"mean": , "worst": , "n": }, "text_embeds": ...,
//    "region_embeds": ...}, "before": {...}, "after": {...}}
// cosine is of each embedding with the F32 model's; before and after are evaluate()'s figures on
// the same samples, for the tasks they serve (null without a tokenizer). Error (input) when not one
// picture can be read.
Json quantize_and_measure(LoadedModel& loaded, const LossData& data);
// For people; lines that end.
std::string loss_text(const Json& loss);

}  // namespace opencloc
