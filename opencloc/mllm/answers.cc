#include "opencloc/mllm/answers.h"

#include <algorithm>
#include <map>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/rng.h"
#include "opencloc/data/load/batch_builder.h"
#include "opencloc/mllm/dialogue_source.h"
#include "opencloc/model/clip/preprocess.h"
#include "opencloc/objective/batch_parts.h"

namespace opencloc {
namespace {

// Those of one length, numbers of questions. Longer ones come later.
using ByLength = std::map<size_t, std::vector<size_t>>;

class Writer {
 public:
  Writer(MllmModel& model, const std::vector<PictureQuestion>& questions,
         const AnswerOptions& options)
      : model_(model), questions_(questions), options_(options) {
    const SequenceMaker maker(*model.tokenizer, model.sequence_options());
    for (const PictureQuestion& question : questions) {
      const Image& picture = *question.picture;
      Rng rng(options.seed);
      sequences_.push_back(prepared(maker.ask(question.dialogue, {picture.width, picture.height}),
                                    picture.width, picture.height, model.cloud_points(), rng));
    }
  }

  std::vector<Answer> answers() {
    std::vector<Answer> all(questions_.size());
    ByLength lengths;
    for (size_t i = 0; i < sequences_.size(); ++i) lengths[sequences_[i].ids.size()].push_back(i);
    for (const auto& [length, numbers] : lengths) {
      const auto size = static_cast<size_t>(std::max<int64_t>(1, options_.batch));
      for (size_t begin = 0; begin < numbers.size(); begin += size) {
        const std::vector<size_t> some(
            numbers.begin() + static_cast<std::ptrdiff_t>(begin),
            numbers.begin() + static_cast<std::ptrdiff_t>(std::min(numbers.size(), begin + size)));
        const auto written = write(some);
        for (size_t i = 0; i < some.size(); ++i) all[some[i]] = written[i];
      }
    }
    return all;
  }

 private:
  Batch batch_of(const std::vector<size_t>& numbers) {
    const ModelConfig& tower = model_.vision->config();
    SampleOptions sample;
    sample.canvas = canvas_options(tower);
    sample.context_length = 1;  // there are no other texts
    BatchBuilder builder(static_cast<int64_t>(numbers.size()), sample,
                         {.mean = tower.preprocess.mean, .std = tower.preprocess.std});
    for (const size_t number : numbers)
      builder.add(
          on_canvas(*questions_[number].picture, std::move(sequences_[number]), sample.canvas));
    return to_device(builder.finish(), model_.device());
  }

  std::vector<Answer> write(const std::vector<size_t>& numbers) {
    std::vector<std::vector<int32_t>> prompts;
    for (const size_t number : numbers) prompts.push_back(sequences_[number].ids);
    const auto embeddings = embed_sequences(model_, batch_of(numbers));  // [n, L, H]
    auto answers = write_on(model_, embeddings, model_.tokenizer->end_id(), options_.max_ids);
    for (size_t i = 0; i < answers.size(); ++i) {
      answers[i].prompt = std::move(prompts[i]);
      answers[i].text = model_.tokenizer->decode(answers[i].ids);
    }
    return answers;
  }

  MllmModel& model_;
  const std::vector<PictureQuestion>& questions_;
  const AnswerOptions options_;
  std::vector<PreparedSequence> sequences_;
};

}  // namespace

std::vector<Answer> write_on(MllmModel& model, const torch::Tensor& embeddings, int64_t end_id,
                             int64_t max_ids) {
  const ComputeScope scope(model.vision->precision(), model.vision->backend());
  auto& words = model.reader->language_model;
  LanguageModelImpl::State state;
  auto last = words->step(embeddings, state).select(1, embeddings.size(1) - 1);  // [n, H]
  std::vector<Answer> answers(static_cast<size_t>(embeddings.size(0)));
  const int64_t room = words->config().context_length - embeddings.size(1);
  const int64_t most = std::min(max_ids, room);
  for (int64_t i = 0; i < most; ++i) {
    const auto ids = words->logits(last).argmax(-1).to(torch::kCPU);  // [n]
    bool all_ended = true;
    for (size_t row = 0; row < answers.size(); ++row) {
      const int64_t id = ids.data_ptr<int64_t>()[row];
      auto& answer = answers[row];
      answer.ended = answer.ended || id == end_id;
      if (!answer.ended) answer.ids.push_back(static_cast<int32_t>(id));
      all_ended = all_ended && answer.ended;
    }
    if (all_ended || i + 1 == most) break;
    last = words->step(words->embed(ids.to(last.device()).unsqueeze(1)), state).squeeze(1);
  }
  return answers;
}

std::vector<Answer> answer(MllmModel& model, const std::vector<PictureQuestion>& questions,
                           const AnswerOptions& options) {
  const torch::NoGradGuard no_grad;
  model.vision->eval();
  model.reader->eval();
  return Writer(model, questions, options).answers();
}

}  // namespace opencloc
