// From boxes to embeddings, one function for every RegionMethod.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

#include "opencloc/eval/evaluate.h"
#include "opencloc/eval/sample_reader.h"
#include "opencloc/model/cloc.h"

namespace opencloc {

// The regions of a batch of samples, sample by sample.
struct RegionRows {
  torch::Tensor boxes;        // [R, 4], of the canvas
  torch::Tensor image_index;  // [R] int64
  int64_t size() const { return boxes.size(0); }
};
RegionRows region_rows(const std::vector<EvalSample>& batch, torch::Device device);

// The pixels a box of the stored picture touches, at least one.
PixelRect pixels_of(const Box& box, const Image& image);

// How many boxes and pictures go through the model at a time, and threads that cut crops.
struct RegionBatching {
  int64_t regions = 0;  // 0: regions_at_a_time()
  int64_t images = 64;
  int workers = 1;
};

// As many prompts as make good products in little memory: pool `all` carries an image's tokens for
// each. `asked` where it is not 0.
int64_t regions_at_a_time(int64_t asked, const ModelConfig& config);

// The first method when none is asked for: what the model was trained with, crop for plain CLIP.
RegionMethod default_method(const ModelConfig& config, bool region_heads);
// The methods this model can be measured with, default first.
std::vector<RegionMethod> available_methods(const ModelConfig& config, bool region_heads);

// -> [R, E], L2-normalised, on the model's device. kCrop reads batch[i].image; the others
// `features`, kRoiAlignPenultimate features.hidden of the second-to-last block.
torch::Tensor encode_regions(RegionMethod method, Cloc& model, const ImageFeatures& features,
                             const std::vector<EvalSample>& batch, const RegionRows& rows,
                             const RegionBatching& batching);

}  // namespace opencloc
