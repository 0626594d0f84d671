#include "opencloc/eval/sample_reader.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/json.h"
#include "opencloc/eval/record_value.h"

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

Json or_null(const std::optional<std::string>& text) { return text ? Json(*text) : Json(); }
std::optional<std::string> text_or_nothing(const Json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<std::string>());
}

bool is_held_out(const Region& region) {
  const auto flag = region.extra.find("held_out");
  return flag != region.extra.end() && flag->is_boolean() && flag->get<bool>();
}

std::string said(const Region& region, const std::string& key) {
  const auto other = region.extra.find(key);
  return other != region.extra.end() && other->is_string() ? other->get<std::string>()
                                                           : region.text;
}

// What other processes need of a sample: CBOR, which keeps every bit of floats and texts.
std::string packed(const std::vector<EvalSample>& samples) {
  Json list = Json::array();
  for (const auto& sample : samples) {
    Json regions = Json::array();
    for (const auto& region : sample.regions) {
      const Box& box = region.canvas_box;
      regions.push_back({region.text, region.held_out, box.x0, box.y0, box.x1, box.y1});
    }
    list.push_back({sample.captions, or_null(sample.label), or_null(sample.group),
                    or_null(sample.value), regions});
  }
  std::string bytes;
  Json::to_cbor(list, bytes);
  return bytes;
}

std::vector<EvalSample> unpacked(const std::string& bytes) {
  std::vector<EvalSample> samples;
  for (const Json& one : Json::from_cbor(bytes)) {
    EvalSample& sample = samples.emplace_back();
    sample.captions = one[0].get<std::vector<std::string>>();
    sample.label = text_or_nothing(one[1]);
    sample.group = text_or_nothing(one[2]);
    sample.value = text_or_nothing(one[3]);
    for (const Json& region : one[4]) {
      EvalRegion& made = sample.regions.emplace_back();
      made.text = region[0].get<std::string>();
      made.held_out = region[1].get<bool>();
      made.canvas_box = {region[2].get<float>(), region[3].get<float>(), region[4].get<float>(),
                         region[5].get<float>()};
    }
  }
  return samples;
}

std::vector<std::vector<EvalSample>> of_all(dist::Group& group, std::vector<EvalSample> own) {
  std::vector<std::vector<EvalSample>> round(static_cast<size_t>(group.size()));
  if (group.size() > 1) {
    const auto texts = dist::gather(group, packed(own));
    for (size_t rank = 0; rank < round.size(); ++rank)
      if (static_cast<int>(rank) != group.rank()) round[rank] = unpacked(texts[rank]);
  }
  round[static_cast<size_t>(group.rank())] = std::move(own);
  return round;
}

}  // namespace

SampleReader::SampleReader(const std::string& data_glob, const ModelConfig& config,
                           const SampleReaderOptions& options, SkipCounter& skips)
    : config_(config),
      options_(options),
      skips_(skips),
      source_({}, data_glob, config,
              {.batch_size = options.batch_size,
               .deal = {options.group->rank(), options.group->size()},
               .workers = options.workers,
               .skip_bad_shards = options.skip_bad_shards,
               .keep_images = options.keep_images,
               .count_samples = options.count_samples},
              skips) {}

int64_t SampleReader::expected() const {
  const int64_t all = source_.expected();
  return options_.max_samples > 0 ? std::min(all, options_.max_samples) : all;
}

// At most `room` good ones; where there is no room, nobody asked for the batch.
std::vector<EvalSample> SampleReader::samples_of(PictureBatch& batch, int64_t room) {
  std::vector<EvalSample> samples;
  if (room <= 0) return samples;
  for (auto& one : batch.skipped) skips_.add(std::move(one));
  for (auto& picture : batch.pictures) {
    if (static_cast<int64_t>(samples.size()) == room) break;
    if (auto sample = sample_of(picture)) samples.push_back(std::move(*sample));
  }
  return samples;
}

// Reads on until there is a good sample, so that a round of broken ones does not look like the end.
std::vector<std::vector<EvalSample>> SampleReader::next_round() {
  dist::Group& group = *options_.group;
  const int64_t limit =
      options_.max_samples > 0 ? options_.max_samples : std::numeric_limits<int64_t>::max();
  while (!ended_ && taken_ < limit) {
    PictureBatch batch = source_.next();
    const int64_t good =
        std::count_if(batch.pictures.begin(), batch.pictures.end(),
                      [](const SourcePicture& picture) { return picture.pixels.defined(); });
    const auto told = group.gather(torch::tensor({{good, int64_t{batch.last}}})).rows;  // [N, 2]
    const auto all = told.select(1, 0).sum().item<int64_t>();
    const auto before = told.slice(0, 0, group.rank()).select(1, 0).sum().item<int64_t>();
    ended_ = told.select(1, 1).max().item<int64_t>() != 0;
    auto round = of_all(group, samples_of(batch, limit - taken_ - before));
    taken_ += std::min(all, limit - taken_);
    if (all > 0) return round;
  }
  return {};
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
  sample.group = record_value(record, "group");
  if (!options_.value_key.empty()) sample.value = record_value(record, options_.value_key);

  std::vector<Box> boxes;
  for (const Region& region : record.regions) boxes.push_back(region.box);
  const auto side = static_cast<int>(config_.vision.image_size);
  const MappedBoxes mapped = map_boxes(boxes, picture.map, side, side, {.min_side_px = 0});
  for (size_t i = mapped.boxes.size(); i < boxes.size(); ++i) {
    skips_.add("box outside the canvas", picture.name);
  }
  for (size_t i = 0; i < mapped.boxes.size(); ++i) {
    const Region& region = record.regions[static_cast<size_t>(mapped.source[i])];
    std::string text = said(region, options_.region_text);
    if (text.empty()) {
      skips_.add("region without text", picture.name);
      continue;
    }
    sample.regions.push_back({region.box, mapped.boxes[i], std::move(text), is_held_out(region)});
  }
  return sample;
}

}  // namespace opencloc
