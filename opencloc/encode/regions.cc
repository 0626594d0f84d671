#include "opencloc/encode/regions.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/model/clip/preprocess.h"

namespace opencloc {
namespace {

constexpr std::array<std::pair<RegionMethod, const char*>, 7> kMethodNames{{
    {RegionMethod::kPrompter, "prompter"},
    {RegionMethod::kRoiAlign, "roi_align"},
    {RegionMethod::kCrop, "crop"},
    {RegionMethod::kRoiAlignPenultimate, "roi_align_penultimate"},
    {RegionMethod::kDense, "dense"},
    {RegionMethod::kDenseRaw, "dense_raw"},
    {RegionMethod::kCropContext, "crop:1.5"},
}};

// Runs `encode(begin, end)` -> [end - begin, E] over the rows and joins the results.
torch::Tensor in_pieces(int64_t rows, int64_t piece,
                        const std::function<torch::Tensor(int64_t, int64_t)>& encode) {
  std::vector<torch::Tensor> parts;
  for (int64_t begin = 0; begin < rows; begin += piece) {
    parts.push_back(encode(begin, std::min(begin + piece, rows)));
  }
  return torch::cat(parts);
}

torch::Tensor encode_crops(RegionMethod method, Cloc& model, const RegionRows& rows,
                           const RegionBatching& batching) {
  const auto cut = method == RegionMethod::kCropContext ? pixels_around : pixels_of;
  const auto device = model->logit_scale.device();
  return in_pieces(rows.size(), batching.images, [&](int64_t begin, int64_t end) {
    std::vector<torch::Tensor> pixels(static_cast<size_t>(end - begin));
    parallel_for(end - begin, batching.workers, [&](int64_t i) {
      const auto region = static_cast<size_t>(begin + i);
      const Image& picture = *rows.pictures[region];
      const PixelRect rect = cut(rows.picture_boxes[region], picture);
      pixels[static_cast<size_t>(i)] = preprocess(picture, model->config(), {.crop = rect}).pixels;
    });
    return model->encode_image(torch::stack(pixels).to(device)).embedding;
  });
}

}  // namespace

bool needs_pictures(RegionMethod method) {
  return method == RegionMethod::kCrop || method == RegionMethod::kCropContext;
}

bool needs_penultimate(RegionMethod method) {
  return method == RegionMethod::kRoiAlignPenultimate || method == RegionMethod::kDense ||
         method == RegionMethod::kDenseRaw;
}

RegionRows region_rows(const std::vector<std::vector<Box>>& boxes, torch::Device device) {
  std::vector<float> coordinates;
  std::vector<int64_t> image_index;
  for (size_t image = 0; image < boxes.size(); ++image) {
    for (const Box& box : boxes[image]) {
      coordinates.insert(coordinates.end(), {box.x0, box.y0, box.x1, box.y1});
      image_index.push_back(static_cast<int64_t>(image));
    }
  }
  return {torch::tensor(coordinates, torch::kFloat).view({-1, 4}).to(device),
          torch::tensor(image_index, torch::kInt64),
          {},
          {}};
}

int64_t regions_at_a_time(int64_t asked, const ModelConfig& config) {
  if (asked > 0) return asked;
  const bool all =
      config.cloc.region_extractor == RegionExtractor::kPrompter && config.cloc.pool == Pool::kAll;
  return all ? 64 : 512;
}

RegionMethod default_method(const ModelConfig& config, bool region_heads) {
  if (!region_heads) return RegionMethod::kCrop;
  return config.cloc.region_extractor == RegionExtractor::kRoiAlign ? RegionMethod::kRoiAlign
                                                                    : RegionMethod::kPrompter;
}

std::vector<RegionMethod> available_methods(const ModelConfig& config, bool region_heads) {
  const RegionMethod first = default_method(config, region_heads);
  std::vector<RegionMethod> methods{first};
  for (const auto method :
       {RegionMethod::kRoiAlign, RegionMethod::kCrop, RegionMethod::kRoiAlignPenultimate}) {
    if (method != first) methods.push_back(method);
  }
  return methods;
}

torch::Tensor encode_regions(RegionMethod method, Cloc& model, const ImageFeatures& features,
                             const RegionRows& rows, const RegionBatching& batching) {
  const torch::NoGradGuard no_grad;
  if (rows.size() == 0) {
    return torch::empty({0, model->config().embed_dim}, rows.boxes.options());
  }
  if (needs_pictures(method)) return encode_crops(method, model, rows, batching);

  const bool trained = method == RegionMethod::kPrompter ||
                       (method == RegionMethod::kRoiAlign && model->roi_extractor);
  const auto& tokens = needs_penultimate(method) ? features.hidden : features.tokens;
  const int64_t piece = regions_at_a_time(batching.regions, model->config());
  if (method == RegionMethod::kDense || method == RegionMethod::kDenseRaw) {
    auto patches = model->dense_tokens(tokens);  // [B, N, E]
    if (method == RegionMethod::kDense) patches = normalized(patches);
    return in_pieces(rows.size(), piece, [&](int64_t begin, int64_t end) {
      return roi_align(patches, rows.boxes.slice(0, begin, end),
                       rows.image_index.slice(0, begin, end));
    });
  }
  return in_pieces(rows.size(), piece, [&](int64_t begin, int64_t end) {
    const auto boxes = rows.boxes.slice(0, begin, end);
    const auto index = rows.image_index.slice(0, begin, end);
    return trained ? model->encode_regions(features, box_prompts(boxes, index))
                   : model->roi_align_regions(tokens, boxes, index);
  });
}

const char* to_string(RegionMethod method) {
  for (const auto& [known, name] : kMethodNames) {
    if (known == method) return name;
  }
  return "unknown";
}

RegionMethod parse_region_method(std::string_view name) {
  std::string known;
  for (const auto& [method, its_name] : kMethodNames) {
    if (name == its_name) return method;
    known += (known.empty() ? "" : ", ") + std::string(its_name);
  }
  throw Error::input("unknown region method \"" + std::string(name) + "\"", {},
                     "known are " + known);
}

}  // namespace opencloc
