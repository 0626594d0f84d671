#include "opencloc/bench/made_up_batch.h"

#include <algorithm>

#include "opencloc/base/rng.h"

namespace opencloc::bench {
namespace {

constexpr int64_t kPoints = 8;

class Texts {
 public:
  Texts(const ModelConfig& config, const BatchShape& shape, int64_t count)
      : end_(shape.end_id < 0 ? config.text.vocab_size - 1 : shape.end_id),
        start_(shape.start_id),
        ids(torch::zeros({count, config.text.context_length}, torch::kInt64)),
        length(torch::zeros({count}, torch::kInt64)) {}

  void put(int64_t row, Rng rng, int64_t shortest, int64_t longest) {
    const int64_t context = ids.size(1);
    const int64_t n = std::min<int64_t>(
        context,
        shortest + static_cast<int64_t>(rng.below(static_cast<uint64_t>(longest - shortest + 1))));
    auto* out = ids.data_ptr<int64_t>() + row * context;
    for (int64_t i = 0; i < n; ++i) {  // ids below the special ones, and not the padding's
      out[i] = 1 + static_cast<int64_t>(
                       rng.below(static_cast<uint64_t>(std::max<int64_t>(1, end_ - 3))));
    }
    if (start_ >= 0) out[0] = start_;
    out[n - 1] = end_;
    length.data_ptr<int64_t>()[row] = n;
  }

 private:
  int64_t end_, start_;

 public:
  torch::Tensor ids;     // [count, T]
  torch::Tensor length;  // [count]
};

}  // namespace

Batch made_up_batch(const ModelConfig& config, const BatchShape& shape, uint64_t seed) {
  const int64_t side = config.vision.image_size;
  const int64_t regions = shape.images * shape.regions_per_image;
  Rng rng(seed, {0});
  Batch batch;
  batch.pixels = torch::empty({shape.images, 3, side, side});
  float* pixel = batch.pixels.data_ptr<float>();
  for (int64_t i = 0; i < batch.pixels.numel(); ++i)
    pixel[i] = static_cast<float>(rng.uniform(-2, 2));

  Texts captions(config, shape, shape.images), phrases(config, shape, regions);
  batch.boxes = torch::empty({regions, 4});
  batch.region_image = torch::empty({regions}, torch::kInt64);
  batch.region_text_id = torch::empty({regions}, torch::kInt64);
  for (int64_t i = 0; i < shape.images; ++i)
    captions.put(i, Rng(seed, {1, static_cast<uint64_t>(i)}), shape.shortest_caption,
                 shape.longest_caption);
  for (int64_t r = 0; r < regions; ++r) {
    const auto phrase = rng.below(static_cast<uint64_t>(shape.distinct_phrases));
    phrases.put(r, Rng(seed, {2, phrase}), shape.shortest_phrase, shape.longest_phrase);
    batch.region_text_id.data_ptr<int64_t>()[r] = static_cast<int64_t>(phrase);
    batch.region_image.data_ptr<int64_t>()[r] = r / shape.regions_per_image;
    const double width = rng.uniform(0.1, 0.6), height = rng.uniform(0.1, 0.6);
    const double x = rng.uniform(0, 1 - width), y = rng.uniform(0, 1 - height);
    float* box = batch.boxes.data_ptr<float>() + 4 * r;
    box[0] = static_cast<float>(x);
    box[1] = static_cast<float>(y);
    box[2] = static_cast<float>(x + width);
    box[3] = static_cast<float>(y + height);
  }
  batch.text_ids = captions.ids;
  batch.text_length = captions.length;
  batch.region_ids = phrases.ids;
  batch.region_length = phrases.length;
  batch.images_with_regions = shape.regions_per_image > 0 ? shape.images : 0;
  if (shape.mixed_prompts) {
    batch.prompt_kind = torch::arange(regions, torch::kInt64).remainder(3);  // box, point, mask
    auto places = torch::empty({regions, kPoints, 2});
    float* place = places.data_ptr<float>();
    for (int64_t i = 0; i < places.numel(); ++i) place[i] = static_cast<float>(rng.uniform());
    const auto low = batch.boxes.slice(1, 0, 2).unsqueeze(1);   // [R, 1, 2]
    const auto high = batch.boxes.slice(1, 2, 4).unsqueeze(1);  // [R, 1, 2]
    batch.points = (low + places * (high - low)).contiguous();  // [R, K, 2]
  }
  return batch;
}

}  // namespace opencloc::bench
