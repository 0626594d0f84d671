#include <torch/utils.h>

#include "opencloc/data/load/batch_builder.h"
#include "opencloc/objective/batch_parts.h"
#include "opencloc/train/report.h"

namespace opencloc {
namespace {

constexpr uint64_t kPicturesSeed = 7;  // the same pictures in every run over the same data

// [R, 4] boxes found for the region texts of one prepared picture.
torch::Tensor found_boxes(const TrainedParts& parts, PreparedSample sample,
                          const SampleOptions& options) {
  const torch::NoGradGuard no_grad;
  Cloc model = parts.model;
  const auto device = model->logit_scale.device();
  const auto& preprocess = model->config().preprocess;
  BatchBuilder builder(1, options, {.mean = preprocess.mean, .std = preprocess.std});
  builder.add(std::move(sample));
  const Batch batch = to_device(builder.finish(), device);
  const auto texts = model->encode_text(batch.region_ids.to(device));  // [R, E]
  const auto features = model->encode_image(batch.pixels);
  return model->ground(features, texts, batch.region_image).to(torch::kCPU).contiguous();
}

}  // namespace

std::vector<ReportPicture> report_pictures(const SampleStore& store, TrainedParts& parts,
                                           const TrainConfig& config, int count) {
  SampleOptions options = config.sample;
  options.augment = options.views = options.captioned_view = false;
  options.mosaic = options.box_jitter = options.label_noise = 0;
  options.regions_per_image = 4;
  const SampleMaker maker(store, *parts.tokenizer, options, kPicturesSeed);
  Sampler sampler(store.sizes(), {}, kPicturesSeed);

  std::vector<ReportPicture> pictures;
  for (uint64_t i = 0; i < store.total() && static_cast<int>(pictures.size()) < count; ++i) {
    PreparedSample sample;
    try {
      sample = maker.make(sampler.next());
    } catch (const BadSample&) {
      continue;  // counted where training or evaluation reads it
    }
    if (sample.regions.empty()) continue;
    ReportPicture picture{sample.canvas, sample.text, {}};
    std::vector<bool> can_be_found;
    for (const auto& region : sample.regions) {
      picture.boxes.push_back({region.box, {}, false, region.text});
      can_be_found.push_back(region.names_one_box);
    }
    if (config.objective->regions && config.objective_options.grounding) {
      const auto boxes = found_boxes(parts, std::move(sample), options);
      const auto* at = boxes.data_ptr<float>();
      for (size_t box = 0; box < picture.boxes.size(); ++box, at += 4) {
        picture.boxes[box].predicted = clip_to_unit({at[0], at[1], at[2], at[3]});
        picture.boxes[box].has_prediction = can_be_found[box];
      }
    }
    pictures.push_back(std::move(picture));
  }
  return pictures;
}

}  // namespace opencloc
