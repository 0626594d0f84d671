// From boxes to embeddings, one function for every RegionMethod.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <torch/types.h>

#include "opencloc/image/canvas.h"
#include "opencloc/image/cut.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc {

// How a box becomes an embedding.
enum class RegionMethod {
  kPrompter,             // the trained Prompter
  kRoiAlign,             // RoIAlign on the last block's patch tokens; through the trained RoI
                         // projection where the model has one, else the image tower's
  kCrop,                 // the box cut out and encoded as a picture of its own
  kRoiAlignPenultimate,  // RoIAlign on the second-to-last block's, which MLLMs read
  // Of published evaluations. Both: the last block without its attention, norm, projection, and
  // then RoIAlign.
  kDense,       // over normalised patches (CLIPSelf)
  kDenseRaw,    // over patches as they are (FG-CLIP)
  kCropContext  // kCrop with half as much again to each side (ViLD, CLIPSelf)
};
// Whether a method cuts pictures, and whether it reads the second-to-last block.
bool needs_pictures(RegionMethod method);
bool needs_penultimate(RegionMethod method);
// Names as on the command line and in results. Error (input) for unknown ones.
const char* to_string(RegionMethod method);
RegionMethod parse_region_method(std::string_view name);

// The regions of a batch of pictures, picture by picture.
struct RegionRows {
  torch::Tensor boxes;        // [R, 4], of the canvas
  torch::Tensor image_index;  // [R] int64, in main memory
  // For methods that cut: [R] each, the stored picture of a region and its box there. The pictures
  // outlive the rows.
  std::vector<const Image*> pictures;
  std::vector<Box> picture_boxes;
  int64_t size() const { return boxes.size(0); }
};
// boxes[i] are those of picture i; their rows without pictures.
RegionRows region_rows(const std::vector<std::vector<Box>>& boxes, torch::Device device);

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
// The methods this model can be measured with, default first; those of published evaluations, which
// every model can be measured with, are not among them.
std::vector<RegionMethod> available_methods(const ModelConfig& config, bool region_heads);

// -> [R, E], not normalised, on the model's device. Methods that need pictures read the rows'; the
// others `features`, those that need it features.hidden of the second-to-last block. kPrompter and
// a trained kRoiAlign want model->prepare_prompts(features) before.
torch::Tensor encode_regions(RegionMethod method, Cloc& model, const ImageFeatures& features,
                             const RegionRows& rows, const RegionBatching& batching = {});

}  // namespace opencloc
