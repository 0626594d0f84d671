#include "opencloc/objective/batch_parts.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

torch::Tensor slice_if(const torch::Tensor& tensor, int64_t begin, int64_t end) {
  return tensor.defined() ? tensor.slice(0, begin, end) : tensor;
}

// Of what belongs to images [begin, end): a range, as `image` [n] is ascending.
std::pair<int64_t, int64_t> rows_of(const torch::Tensor& image, int64_t begin, int64_t end) {
  const auto* first = image.data_ptr<int64_t>();
  const auto* last = first + image.size(0);
  return {std::lower_bound(first, last, begin) - first, std::lower_bound(first, last, end) - first};
}

BatchPart part_of(const Batch& batch, int64_t begin, int64_t end) {
  BatchPart part;
  part.batch.pixels = batch.pixels.slice(0, begin, end);
  std::tie(part.first_region, part.end_region) = rows_of(batch.region_image, begin, end);
  part.batch.boxes = batch.boxes.slice(0, part.first_region, part.end_region);
  part.batch.region_image = batch.region_image.slice(0, part.first_region, part.end_region) - begin;
  part.batch.patch_order = slice_if(batch.patch_order, begin, end);
  part.batch.captioned_view = slice_if(batch.captioned_view, begin, end);
  part.batch.sequence_ids = slice_if(batch.sequence_ids, begin, end);
  part.batch.sequence_learned = slice_if(batch.sequence_learned, begin, end);
  part.batch.clouds = slice_if(batch.clouds, part.first_region, part.end_region);
  part.batch.prompt_kind = slice_if(batch.prompt_kind, part.first_region, part.end_region);
  part.batch.points = slice_if(batch.points, part.first_region, part.end_region);
  if (batch.crop_image.defined()) {
    const auto [from, to] = rows_of(batch.crop_image, begin, end);
    part.batch.crop_boxes = batch.crop_boxes.slice(0, from, to);
    part.batch.crop_pixels = batch.crop_pixels.slice(0, from, to);
    part.batch.crop_image = batch.crop_image.slice(0, from, to) - begin;
  }
  if (batch.rated_image.defined()) {
    const auto [from, to] = rows_of(batch.rated_image, begin, end);
    part.batch.rated_boxes = batch.rated_boxes.slice(0, from, to);
    part.batch.rated_iou = batch.rated_iou.slice(0, from, to);
    part.batch.rated_image = batch.rated_image.slice(0, from, to) - begin;
  }
  return part;
}

}  // namespace

std::vector<BatchPart> cut_batch(const Batch& batch, int64_t parts) {
  const int64_t size = std::max<int64_t>(1, (batch.images() + parts - 1) / parts);
  std::vector<BatchPart> cut;
  for (int64_t begin = 0; begin < batch.images(); begin += size)
    cut.push_back(part_of(batch, begin, std::min(batch.images(), begin + size)));
  return cut;
}

Batch to_device(const Batch& batch, torch::Device device) {
  Batch moved = batch;
  for (torch::Tensor* tensor :
       {&moved.pixels, &moved.boxes, &moved.points, &moved.rated_boxes, &moved.rated_iou,
        &moved.region_weight, &moved.sequence_ids, &moved.sequence_learned, &moved.clouds,
        &moved.patch_order, &moved.captioned_view, &moved.crop_boxes, &moved.crop_pixels})
    *tensor = ops::to_device(*tensor, device);
  return moved;
}

}  // namespace opencloc
