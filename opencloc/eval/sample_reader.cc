#include "opencloc/eval/sample_reader.h"

#include <algorithm>
#include <utility>

namespace opencloc {
namespace {

std::vector<std::string> captions_of(const Record& record) {
  std::vector<std::string> captions;
  const auto add = [&](std::string_view text) {
    const bool known = std::find(captions.begin(), captions.end(), text) != captions.end();
    if (!text.empty() && !known) captions.emplace_back(text);
  };
  add(record.caption);
  for (const auto& text : record.captions) add(text);
  if (captions.empty()) add(record.alt_text);
  return captions;
}

bool is_held_out(const Region& region) {
  const auto flag = region.extra.find("held_out");
  return flag != region.extra.end() && flag->is_boolean() && flag->get<bool>();
}

}  // namespace

SampleReader::SampleReader(const std::string& data_glob, const ModelConfig& config,
                           const SampleReaderOptions& options, SkipCounter& skips)
    : config_(config),
      options_(options),
      skips_(skips),
      source_({}, data_glob, config,
              {.batch_size = options.batch_size,
               .workers = options.workers,
               .skip_bad_shards = options.skip_bad_shards,
               .keep_images = options.keep_images,
               .count_samples = true},
              skips) {}

int64_t SampleReader::expected() const {
  const int64_t all = source_.expected();
  return options_.max_samples > 0 ? std::min(all, options_.max_samples) : all;
}

// Reads on until there is a good sample, so that a batch of broken ones does not look like the end.
std::vector<EvalSample> SampleReader::next_batch() {
  std::vector<EvalSample> batch;
  const auto enough = [&] { return options_.max_samples > 0 && taken_ >= options_.max_samples; };
  while (batch.empty() && !enough()) {
    auto pictures = source_.next_batch();
    if (pictures.empty()) break;
    for (auto& picture : pictures) {
      if (enough()) break;
      if (auto sample = sample_of(picture)) {
        batch.push_back(std::move(*sample));
        ++taken_;
      }
    }
  }
  return batch;
}

std::optional<EvalSample> SampleReader::sample_of(SourcePicture& picture) const {
  if (!picture.pixels.defined()) {
    skips_.add(skip::kBadImage, picture.name, picture.error);
    return std::nullopt;
  }
  const Record& record = *picture.record;
  EvalSample sample;
  sample.pixels = picture.pixels;
  sample.image = std::move(picture.image);
  sample.captions = captions_of(record);
  sample.label = record.label;

  std::vector<Box> boxes;
  for (const Region& region : record.regions) boxes.push_back(region.box);
  const auto side = static_cast<int>(config_.vision.image_size);
  const MappedBoxes mapped = map_boxes(boxes, picture.map, side, side, {.min_side_px = 0});
  for (size_t i = mapped.boxes.size(); i < boxes.size(); ++i) {
    skips_.add("box outside the canvas", picture.name);
  }
  for (size_t i = 0; i < mapped.boxes.size(); ++i) {
    const Region& region = record.regions[static_cast<size_t>(mapped.source[i])];
    if (region.text.empty()) {
      skips_.add("region without text", picture.name);
      continue;
    }
    sample.regions.push_back({region.box, mapped.boxes[i], region.text, is_held_out(region)});
  }
  return sample;
}

}  // namespace opencloc
