// Prepared samples, in order, into the tensors of a Batch.
#pragma once

#include <array>
#include <vector>

#include "opencloc/data/load/batch.h"
#include "opencloc/data/load/loader_sample.h"

namespace opencloc {

// In what form a batch has its pixels.
struct PixelOptions {
  std::array<float, 3> mean{}, std{1, 1, 1};
  bool bytes = false;   // as decoded, for a device that normalises them: a quarter of the memory
  bool pinned = false;  // page-locked, for a GPU to fetch while other things are computed
};

class BatchBuilder {
 public:
  BatchBuilder(int64_t batch_size, const SampleOptions& options, const PixelOptions& pixels);

  bool full() const { return static_cast<int64_t>(batch_.keys.size()) == batch_size_; }
  // Not when full.
  void add(PreparedSample sample);
  // The batch of all added samples; once.
  Batch finish();

 private:
  void finish_rated_boxes();
  void finish_crops();
  void finish_scores_and_negatives();
  void finish_sequences();
  void put_pixels(const Image& canvas, const torch::Tensor& pixels, int64_t row) const;

  const int64_t batch_size_;
  const SampleOptions options_;
  const PixelOptions pixels_;
  Batch batch_;
  std::vector<TokenizedText> captions_;
  std::vector<PreparedRegion> regions_;
  std::vector<int64_t> region_image_;
  std::vector<RatedBox> rated_;
  std::vector<int64_t> rated_image_;
  std::vector<Box> crop_boxes_;
  std::vector<int64_t> crop_image_;
  struct Sequence {
    std::vector<int32_t> ids;
    std::vector<uint8_t> learned;
  };
  std::vector<Sequence> sequences_;
  std::vector<float> patch_order_, word_order_;  // of all samples
  std::vector<int64_t> entity_, entity_others_, entity_others_begin_{0};
};

}  // namespace opencloc
