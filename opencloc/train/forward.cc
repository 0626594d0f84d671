#include "opencloc/train/forward.h"

#include <algorithm>

namespace opencloc {
namespace {

// The regions `rows` [r] of the batch as prompts of one kind.
PromptBatch prompts_of_kind(const Batch& batch, PromptKind kind, const torch::Tensor& rows) {
  const auto image = batch.region_image.index_select(0, rows);
  if (kind == PromptKind::kPoint) {
    return point_prompts(batch.points.index_select(0, rows).slice(1, 0, 1), image);
  }
  const auto boxes = batch.boxes.index_select(0, rows);
  if (kind == PromptKind::kMask) {
    return mask_prompts(boxes, batch.points.index_select(0, rows), image);
  }
  return box_prompts(boxes, image);
}

// -> [R, E]
torch::Tensor encode_regions(Cloc& model, const ImageFeatures& features, const Batch& batch) {
  if (!batch.prompt_kind.defined()) {
    return model->encode_regions(features, box_prompts(batch.boxes, batch.region_image));
  }
  std::vector<torch::Tensor> rows, embeddings;
  for (const auto kind : {PromptKind::kBox, PromptKind::kPoint, PromptKind::kMask}) {
    const auto of_kind = batch.prompt_kind.eq(static_cast<int64_t>(kind)).nonzero().squeeze(1);
    if (of_kind.size(0) == 0) continue;
    rows.push_back(of_kind);
    embeddings.push_back(model->encode_regions(features, prompts_of_kind(batch, kind, of_kind)));
  }
  // Back from the order by kind to the order of the batch.
  return torch::cat(embeddings).index_select(0, torch::cat(rows).argsort());
}

torch::Tensor slice_if(const torch::Tensor& tensor, int64_t begin, int64_t end) {
  return tensor.defined() ? tensor.slice(0, begin, end) : tensor;
}

}  // namespace

const char* to_string(Objective objective) {
  switch (objective) {
    case Objective::kClip:
      return "clip";
    case Objective::kCoca:
      return "coca";
    case Objective::kCloc:
      break;
  }
  return "cloc";
}

ImageOutputs encode_images(Cloc& model, const Batch& batch, const torch::Tensor& region_texts,
                           const ForwardOptions& options) {
  ImageOutputs out;
  auto features = model->encode_image(batch.pixels);  // tokens [B, 1+N, D]
  out.image = features.embedding;
  if (!options.regions() || batch.regions() == 0) return out;
  model->prepare_prompts(features);
  out.regions = encode_regions(model, features, batch);
  if (!options.grounding) return out;
  out.predicted = model->ground(features, region_texts, batch.region_image);
  if (options.box_recovery) out.recovered = model->box_head->forward(out.regions);
  return out;
}

torch::Tensor encode_texts(Cloc& model, const TextBatch& texts) {
  std::vector<torch::Tensor> embeddings;
  for (const auto& group : texts.groups) embeddings.push_back(model->encode_text(group));
  return torch::cat(embeddings);
}

BatchPart batch_part(const Batch& batch, int64_t begin, int64_t end) {
  BatchPart part;
  part.batch.pixels = batch.pixels.slice(0, begin, end);
  // region_image is ascending: the part's regions are a range.
  const auto images = batch.region_image.to(torch::kCPU);
  const auto* image = images.data_ptr<int64_t>();
  const auto* last = image + batch.regions();
  part.first_region = std::lower_bound(image, last, begin) - image;
  part.end_region = std::lower_bound(image, last, end) - image;
  part.batch.boxes = batch.boxes.slice(0, part.first_region, part.end_region);
  part.batch.region_image = batch.region_image.slice(0, part.first_region, part.end_region) - begin;
  part.batch.prompt_kind = slice_if(batch.prompt_kind, part.first_region, part.end_region);
  part.batch.points = slice_if(batch.points, part.first_region, part.end_region);
  return part;
}

Batch to_device(const Batch& batch, torch::Device device) {
  Batch moved = batch;
  for (torch::Tensor* tensor :
       {&moved.pixels, &moved.boxes, &moved.region_image, &moved.region_text_id,
        &moved.names_one_box, &moved.prompt_kind, &moved.points}) {
    if (tensor->defined()) *tensor = tensor->to(device);
  }
  return moved;
}

}  // namespace opencloc
