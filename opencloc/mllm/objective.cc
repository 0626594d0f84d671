#include "opencloc/mllm/objective.h"

#include <algorithm>
#include <vector>

#include <torch/utils.h>

#include "opencloc/loss/loss.h"
#include "opencloc/objective/batch_parts.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

struct Part {
  Batch batch;
  // Of the words to learn: where the place before each is in [b L], and the word.
  torch::Tensor places, words;  // [n]
};

class MllmWork : public BatchWork {
 public:
  MllmWork(MllmModel& model, FrozenParts frozen, const Batch& batch, const WorkOptions& options)
      : model_(model), frozen_(frozen), images_(batch.images()) {
    TORCH_CHECK(batch.sequence_ids.defined(), "a step over dialogues of a batch without any");
    const auto device = model.device();
    for (auto& part : cut_batch(batch, options.parts)) {
      const auto& ids = part.batch.sequence_ids;  // [b, L]
      // Nothing says the first id of a sequence.
      const auto learned = part.batch.sequence_learned.slice(1, 1).reshape(-1);  // [b (L - 1)]
      const auto index = learned.nonzero().squeeze(1);                           // [n]
      const int64_t steps = std::max<int64_t>(1, ids.size(1) - 1);
      const auto row = index.div(steps, "floor");
      const auto words = ids.slice(1, 1).reshape(-1).index_select(0, index);
      own_words_ += index.size(0);
      parts_.push_back({to_device(part.batch, device),
                        ops::to_device(index + row, device),  // rows have L places
                        ops::to_device(words, device)});
    }
    auto count = torch::full({1}, own_words_, torch::kInt64);
    options.group->sum(count);
    all_words_ = count.item<int64_t>();
  }

  int64_t pieces() const override { return static_cast<int64_t>(parts_.size()); }
  bool empty() const override { return all_words_ == 0; }

  Encoded encode(int64_t piece, const NamedRows& /*before*/, bool own_loss) override {
    Encoded encoded;
    if (!own_loss) return encoded;  // no other piece wants to know
    const Part& part = parts_[static_cast<size_t>(piece)];
    const auto read = read_sequences(model_, part.batch, frozen_);  // [b, L, H]
    const auto normed = read.flatten(0, 1).index_select(0, part.places);
    const BackendScope scope(model_.vision->backend());
    const auto mean = caption_loss(normed, model_.reader->language_model->words().t(), part.words);
    const auto words = static_cast<double>(part.words.size(0));
    encoded.own.value = (words / static_cast<double>(all_words_)) * mean;
    encoded.own.figures.mean("loss_words", mean, words);
    return encoded;
  }

  Loss loss(const NamedRows& /*rows*/) override { return {}; }

  Figures counts() const override {
    Figures figures;
    figures.count("words", own_words_);
    if (images_ == 0) figures.mean("loss_words", 0, 0);  // the same names in all processes
    return figures;
  }

 private:
  MllmModel& model_;
  const FrozenParts frozen_;
  const int64_t images_;
  int64_t own_words_ = 0, all_words_ = 0;
  std::vector<Part> parts_;
};

class MllmObjective : public Objective {
 public:
  MllmObjective(MllmModel& model, FrozenParts frozen) : model_(model), frozen_(frozen) {}
  std::unique_ptr<BatchWork> work(const Batch& batch, const WorkOptions& options) override {
    return std::make_unique<MllmWork>(model_, frozen_, batch, options);
  }

 private:
  MllmModel& model_;
  const FrozenParts frozen_;
};

}  // namespace

std::unique_ptr<Objective> make_mllm_objective(MllmModel& model, FrozenParts frozen) {
  return std::make_unique<MllmObjective>(model, frozen);
}

}  // namespace opencloc
