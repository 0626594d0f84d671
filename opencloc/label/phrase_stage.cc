#include "opencloc/label/phrase_stage.h"

#include <mutex>
#include <utility>

#include "opencloc/base/parallel_for.h"

namespace opencloc {
namespace {

class PhraseStage : public Stage {
 public:
  PhraseStage(std::shared_ptr<const PhraseExtractor> extractor, int threads)
      : extractor_(std::move(extractor)), threads_(threads) {}

  std::string name() const override { return "phrases"; }
  Json config() const override { return {{"extractor", extractor_->name()}}; }

  void run(std::span<LabelSample> batch) override {
    parallel_for(static_cast<int64_t>(batch.size()), threads_, [&](int64_t i) {
      auto& sample = batch[static_cast<size_t>(i)];
      PhraseCounts counts;
      store_phrases(sample, extractor_->extract(chosen_text(sample), counts));
      store_provenance(sample, name(), config());
      const std::lock_guard lock(mutex_);
      counts_.add(counts);
    });
  }

  Json take_report() override { return std::exchange(counts_, {}).json(); }

 private:
  const std::shared_ptr<const PhraseExtractor> extractor_;
  const int threads_;
  std::mutex mutex_;
  PhraseCounts counts_;
};

}  // namespace

std::unique_ptr<Stage> phrase_stage(std::shared_ptr<const PhraseExtractor> extractor, int threads) {
  return std::make_unique<PhraseStage>(std::move(extractor), threads);
}

}  // namespace opencloc
