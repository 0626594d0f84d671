// Questions about pictures, answered: the likeliest id each time (greedy), until the end token.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "opencloc/dialogue/dialogue.h"
#include "opencloc/dialogue/frame.h"
#include "opencloc/image/image.h"
#include "opencloc/mllm/mllm_model.h"

namespace opencloc {

// The last turn of the dialogue is asked; what it says is not read.
struct PictureQuestion {
  Dialogue dialogue;
  std::shared_ptr<const Image> picture;
};

struct AnswerOptions {
  int64_t max_ids = 128;  // of an answer
  int64_t batch = 32;     // questions of one length at a time
  // Points within a region are drawn from it, the same ones whatever else is asked.
  uint64_t seed = 0;
};

struct Answer {
  std::string text;
  std::vector<int32_t> ids;     // without the end token
  std::vector<int32_t> prompt;  // what was asked, the picture's places included
  bool ended = false;           // false: max_ids or the context came first
};

// In the order of the questions. Both models are put into eval mode; gradients are off. Error
// (input): a question that leaves no room for an answer.
std::vector<Answer> answer(MllmModel& model, const std::vector<PictureQuestion>& questions,
                           const AnswerOptions& options = {});

// What follows n sequences of one length, given as embeddings [n, L, H]; without texts and prompts.
// Gradients are off where the caller has them off.
std::vector<Answer> write_on(MllmModel& model, const torch::Tensor& embeddings, int64_t end_id,
                             int64_t max_ids);

}  // namespace opencloc
