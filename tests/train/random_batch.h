// Training batches of noise for ViT-Test: 32 x 32 pixels, 16 tokens of a vocabulary of 512.
#pragma once

#include <string>
#include <vector>

#include <torch/utils.h>

#include "opencloc/data/load/batch.h"

namespace opencloc::fixtures {

inline constexpr int64_t kContext = 16, kVocabulary = 512, kEnd = kVocabulary - 1;

// ids [n, T] with lengths between 3 and T.
inline void random_texts(int64_t count, torch::Tensor& ids, torch::Tensor& length) {
  ids = torch::zeros({count, kContext}, torch::kInt64);
  length = torch::randint(3, kContext + 1, {count}, torch::kInt64);
  for (int64_t i = 0; i < count; ++i) {
    const auto words = length[i].item<int64_t>() - 1;
    ids[i].slice(0, 0, words) = torch::randint(1, kEnd, {words}, torch::kInt64);
    ids[i][words] = kEnd;
  }
}

inline Batch random_batch(int64_t images, const std::vector<int64_t>& region_image) {
  torch::manual_seed(9);
  const auto regions = static_cast<int64_t>(region_image.size());
  Batch batch;
  batch.pixels = torch::randn({images, 3, 32, 32});
  random_texts(images, batch.text_ids, batch.text_length);
  random_texts(regions, batch.region_ids, batch.region_length);
  const auto corner = torch::rand({regions, 2}) * 0.5;
  batch.boxes = torch::cat({corner, corner + 0.2 + 0.3 * torch::rand({regions, 2})}, 1);
  batch.region_image = torch::tensor(region_image, torch::kInt64);
  batch.region_text_id = torch::arange(regions);
  batch.keys.resize(static_cast<size_t>(images), "key");
  batch.images_with_regions =
      regions == 0 ? 0 : std::get<0>(torch::_unique(batch.region_image)).size(0);
  return batch;
}

}  // namespace opencloc::fixtures
