// A training batch cut into parts by its images, each with its regions.
#pragma once

#include <cstdint>
#include <vector>

#include "opencloc/data/load/batch.h"

namespace opencloc {

// Images [begin, end) of a batch with their regions, and those regions' rows in the whole batch.
struct BatchPart {
  Batch batch;
  int64_t first_region = 0;
  int64_t end_region = 0;
};

// At most `parts` parts of ceil(B / parts) images. The batch lies on the CPU.
std::vector<BatchPart> cut_batch(const Batch& batch, int64_t parts);

// The tensors that the model reads of images and regions, on `device`: pixels, boxes and points.
// What says which rows go together stays in main memory. Nobody waits.
Batch to_device(const Batch& batch, torch::Device device);

}  // namespace opencloc
