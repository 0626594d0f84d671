#include "opencloc/train/reconstructions.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <spdlog/fmt/fmt.h>
#include <torch/utils.h>

#include "opencloc/data/load/batch_builder.h"

namespace opencloc {
namespace {

constexpr uint64_t kReconstructionSeed = 8;  // the same pictures and masks in every run

// [3, H, W], normalised, beside what is there already in a picture of three columns.
void put_column(const torch::Tensor& pixels, const PreprocessConfig& preprocess, int column,
                Image& image) {
  const auto values = pixels.to(torch::kCPU, torch::kFloat32).contiguous();
  const int64_t height = values.size(1), width = values.size(2);
  const auto* at = values.data_ptr<float>();
  for (int64_t c = 0; c < 3; ++c) {
    const auto channel = static_cast<size_t>(c);
    for (int64_t y = 0; y < height; ++y) {
      uint8_t* row = image.row(static_cast<int>(y)) + 3 * column * width;
      for (int64_t x = 0; x < width; ++x) {
        const float value = *at++ * preprocess.std[channel] + preprocess.mean[channel];
        row[3 * x + c] = static_cast<uint8_t>(std::lround(255 * std::clamp(value, 0.0F, 1.0F)));
      }
    }
  }
}

// Root mean squared error over what is hidden, in units of the pixels' range.
double error_of(const torch::Tensor& restored, const torch::Tensor& truth,
                const torch::Tensor& hidden, const PreprocessConfig& preprocess) {
  const auto deviation = torch::tensor({preprocess.std[0], preprocess.std[1], preprocess.std[2]});
  const auto error = ((restored - truth).to(torch::kCPU) * deviation.view({3, 1, 1})).square();
  const auto places = hidden.to(error.dtype());  // [H, W]
  return std::sqrt((error.mean(0) * places).sum().item<double>() /
                   std::max(1.0, places.sum().item<double>()));
}

}  // namespace

void add_reconstructions(const SampleStore& store, TrainedParts& parts,
                         const SelfSupervisionHeads& heads, const TrainConfig& config,
                         std::vector<ReportPicture>& pictures) {
  SampleOptions options = config.sample;
  options.augment = options.views = options.captioned_view = false;
  options.mosaic = options.box_jitter = options.label_noise = 0;
  const SampleMaker maker(store, *parts.tokenizer, options, kReconstructionSeed);
  Sampler sampler(store.sizes(), {}, kReconstructionSeed);
  const auto& preprocess = parts.model->config().preprocess;
  const int64_t patch = parts.model->config().vision.patch_size;
  int made = 0;
  for (uint64_t i = 0; i < store.total() && made < config.report_pictures; ++i) {
    PreparedSample sample;
    try {
      sample = maker.make(sampler.next());
    } catch (const BadSample&) {
      continue;  // counted where training or evaluation reads it
    }
    ReportPicture picture;
    picture.image = Image(3 * sample.canvas.width, sample.canvas.height);
    BatchBuilder builder(1, options, {.mean = preprocess.mean, .std = preprocess.std});
    builder.add(std::move(sample));
    const Batch batch = builder.finish();
    const Reconstruction made_of = reconstruct(parts.model, heads, config.self_supervision, batch);
    put_column(batch.pixels[0], preprocess, 0, picture.image);
    put_column(made_of.seen[0], preprocess, 1, picture.image);
    put_column(made_of.restored[0], preprocess, 2, picture.image);
    const auto hidden =
        mask_patches(batch.patch_order, config.self_supervision.mae_mask).hidden[0];  // [N]
    const auto grid = static_cast<int64_t>(std::llround(std::sqrt(hidden.size(0))));
    const auto places = hidden.view({grid, grid})
                            .repeat_interleave(patch, 0)
                            .repeat_interleave(patch, 1);  // [H, W]
    const auto truth = batch.pixels[0];
    const auto seen = places.logical_not().to(truth.dtype());
    const auto mean = (truth * seen).sum({1, 2}) / seen.sum().clamp_min(1);  // [3]
    picture.text = fmt::format(
        "The picture, what is seen, what is restored. Error over what is hidden: {:.3f}; of the "
        "mean colour of what is seen: {:.3f}",
        error_of(made_of.restored[0], truth, places, preprocess),
        error_of(mean.view({3, 1, 1}).expand_as(truth), truth, places, preprocess));
    pictures.push_back(std::move(picture));
    ++made;
  }
}

}  // namespace opencloc
