#include <torch/utils.h>

#include "opencloc/base/rng.h"
#include "opencloc/bench/operations.h"
#include "opencloc/bench/precision.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/encode/regions.h"
#include "opencloc/model/clip/preprocess.h"

namespace opencloc::bench {
namespace {

struct Method {
  const char* name;
  RegionMethod method;
  Pool pool;
  int64_t most = 1000;  // regions; ten times as many crops take ten times as long
};
constexpr Method kMethods[] = {
    {"pool-prompt", RegionMethod::kPrompter, Pool::kPrompt},
    {"pool-all", RegionMethod::kPrompter, Pool::kAll},
    {"roi_align", RegionMethod::kRoiAlign, Pool::kPrompt},
    {"crop", RegionMethod::kCrop, Pool::kPrompt, 100},
};

// A picture of noise of 640 x 480 pixels with boxes of a tenth of a side and more.
struct PictureWithBoxes {
  Image image{640, 480};
  torch::Tensor pixels;  // [1, 3, S, S]
  std::vector<Box> boxes;
  RegionRows rows() const {
    RegionRows all = region_rows({boxes}, torch::kCPU);
    all.pictures.assign(boxes.size(), &image);
    all.picture_boxes = boxes;
    return all;
  }
};
PictureWithBoxes picture_with_boxes(const ModelConfig& config, int64_t count, uint64_t seed) {
  Rng rng(seed);
  PictureWithBoxes picture;
  for (uint8_t& value : picture.image.pixels) value = static_cast<uint8_t>(rng.next());
  picture.pixels = preprocess(picture.image, config).pixels.unsqueeze(0);
  for (int64_t i = 0; i < count; ++i) {
    const double width = rng.uniform(0.1, 0.5), height = rng.uniform(0.1, 0.5);
    const double x = rng.uniform(0, 1 - width), y = rng.uniform(0, 1 - height);
    picture.boxes.push_back({static_cast<float>(x), static_cast<float>(y),
                             static_cast<float>(x + width), static_cast<float>(y + height)});
  }
  return picture;
}

double operations_of(const Method& method, const ModelConfig& config, int64_t regions) {
  const auto count = static_cast<double>(regions);
  const double image = image_operations(config);
  if (method.method == RegionMethod::kCrop) return count * image;
  const auto width = static_cast<double>(config.vision.width);
  if (method.method == RegionMethod::kRoiAlign)
    return image + count * 2.0 * width * static_cast<double>(config.embed_dim);
  return image + prompt_image_operations(config) + count * box_prompt_operations(config);
}

// `encode` is one encoding of the picture alone, the unit of the table.
void bench_method(const BenchOptions& options, const BenchPrecision& precision,
                  const Method& method, Cloc& model, const Spent& encode) {
  const RegionBatching batching{.workers = options.threads};
  for (const int64_t count : {1, 10, 100, 1000}) {
    if (count > method.most) continue;
    const PictureWithBoxes picture = picture_with_boxes(model->config(), count, options.seed);
    const RegionRows rows = picture.rows();
    const auto encoded = [&] {
      ImageFeatures features;
      if (method.method == RegionMethod::kCrop) return features;
      features = model->encode_image(picture.pixels);
      if (method.method == RegionMethod::kPrompter) model->prepare_prompts(features);
      return features;
    };
    const auto prompted = [&](const ImageFeatures& features) {
      encode_regions(method.method, model, features, rows, batching);
    };
    const Spent all = time_of(options.seconds, [&] { prompted(encoded()); });
    auto figure = figure_of("prompt/" + model->config().name + "/" + precision.name + "/" +
                                method.name + "/r" + std::to_string(count),
                            static_cast<double>(count), all);
    figure.gflops = operations_of(method, model->config(), count) / all.wall * 1e-9;
    figure.peak = precision.peak();
    figure.more["encodes"] = all.wall / encode.wall;
    figure.more["encodes_of_cpu"] = all.cpu / encode.cpu;
    if (method.method != RegionMethod::kCrop) {
      const ImageFeatures features = encoded();
      const Spent alone = time_of(options.seconds, [&] { prompted(features); });
      figure.more["prompts_alone_per_s"] = static_cast<double>(count) / alone.wall;
    }
    report(options, figure);
  }
}

}  // namespace

void prompt(const BenchOptions& options) {
  const torch::NoGradGuard no_grad;
  const std::string name = options.model.empty() ? "ViT-B-16" : options.model;
  for (const BenchPrecision& precision : precisions_of(options)) {
    for (const Method& method : kMethods) {
      ModelConfig config = load_model_config(name);
      config.cloc.pool = method.pool;
      torch::manual_seed(1);
      Cloc model(config);
      model->eval();
      apply(precision, model);
      const auto pixels = picture_with_boxes(config, 0, options.seed).pixels;  // [1, 3, S, S]
      const Spent encode = time_of(options.seconds, [&] { model->encode_image(pixels); });
      bench_method(options, precision, method, model, encode);
    }
  }
}

}  // namespace opencloc::bench
