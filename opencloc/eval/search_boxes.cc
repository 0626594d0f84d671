#include "opencloc/eval/search_boxes.h"

#include <algorithm>

#include <torch/utils.h>

namespace opencloc {
namespace {

// The embeddings of `boxes` [n, 4] on picture `image` -> [n, E], L2-normalised.
torch::Tensor embeddings_on(Cloc& model, const ImageFeatures& features, const torch::Tensor& boxes,
                            int64_t image, int64_t at_a_time) {
  std::vector<torch::Tensor> parts;
  for (const auto& some : boxes.split(at_a_time)) {
    const auto index = torch::full({some.size(0)}, image, torch::kInt64);
    parts.push_back(normalized(model->encode_regions(features, box_prompts(some, index))));
  }
  return torch::cat(parts);
}

}  // namespace

torch::Tensor grid_boxes(int64_t lines) {
  std::vector<float> corners;
  const auto at = [lines](int64_t i) { return static_cast<float>(i) / static_cast<float>(lines); };
  for (int64_t y0 = 0; y0 < lines; ++y0)
    for (int64_t y1 = y0 + 1; y1 <= lines; ++y1)
      for (int64_t x0 = 0; x0 < lines; ++x0)
        for (int64_t x1 = x0 + 1; x1 <= lines; ++x1)
          corners.insert(corners.end(), {at(x0), at(y0), at(x1), at(y1)});
  return torch::tensor(corners).view({-1, 4});
}

torch::Tensor ground_by_search(Cloc& model, const ImageFeatures& features,
                               const std::vector<int64_t>& image_index, const torch::Tensor& text,
                               int64_t at_a_time) {
  const torch::NoGradGuard no_grad;
  const auto device = features.tokens.device();
  const auto boxes = grid_boxes(std::min(model->config().vision.grid(), kMostLines)).to(device);
  const auto texts = normalized(text.to(device));  // [P, E]
  std::vector<torch::Tensor> found = {torch::empty({0, 4})};
  for (size_t begin = 0; begin < image_index.size();) {
    size_t end = begin;
    while (end < image_index.size() && image_index[end] == image_index[begin]) ++end;
    const auto regions = embeddings_on(model, features, boxes, image_index[begin], at_a_time);
    const auto cosine = texts.slice(0, static_cast<int64_t>(begin), static_cast<int64_t>(end))
                            .matmul(regions.t());  // [p, n]
    found.push_back(boxes.index_select(0, cosine.argmax(1)).to(torch::kCPU, torch::kFloat));
    begin = end;
  }
  return torch::cat(found);
}

}  // namespace opencloc
