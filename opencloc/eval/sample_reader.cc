#include "opencloc/eval/sample_reader.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/json.h"
#include "opencloc/base/rng.h"
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

bool is_held_out(const Region& region) {
  const auto flag = region.extra.find("held_out");
  return flag != region.extra.end() && flag->is_boolean() && flag->get<bool>();
}

bool is_crowd(const Region& region) {
  const auto flag = region.extra.find("crowd");
  return flag != region.extra.end() && flag->is_boolean() && flag->get<bool>();
}

std::string said(const Region& region, const std::string& key) {
  const auto other = region.extra.find(key);
  return other != region.extra.end() && other->is_string() ? other->get<std::string>()
                                                           : region.text;
}

std::string frequency_of(const Region& region) {
  const auto found = region.extra.find("frequency");
  return found != region.extra.end() && found->is_string() ? found->get<std::string>()
                                                           : std::string();
}

// "boxes": [[x0, y0, x1, y1], ...] of the picture, on the canvas.
std::vector<Box> any_boxes_of(const Region& region, const CanvasMap& map) {
  std::vector<Box> boxes;
  const auto found = region.extra.find("boxes");
  if (found == region.extra.end() || !found->is_array()) return boxes;
  for (const Json& one : *found) {
    const bool whole =
        one.is_array() && one.size() == 4 &&
        std::all_of(one.begin(), one.end(), [](const Json& v) { return v.is_number(); });
    if (!whole) continue;
    boxes.push_back(clip_to_unit(map.to_canvas(
        {one[0].get<float>(), one[1].get<float>(), one[2].get<float>(), one[3].get<float>()})));
  }
  return boxes;
}

// Random boxes of a picture that are none of its objects, from its key alone.
std::vector<Box> random_boxes(const Record& record, int64_t count, uint64_t seed) {
  uint64_t name = 1469598103934665603u;  // FNV-1a
  for (const char c : record.key) name = (name ^ static_cast<unsigned char>(c)) * 1099511628211u;
  Rng rng(seed, {name});
  std::vector<Box> boxes;
  for (int64_t tries = 0; static_cast<int64_t>(boxes.size()) < count && tries < 50 * count;
       ++tries) {
    const double width = rng.uniform(0.05, 0.6), height = rng.uniform(0.05, 0.6);
    const double x = rng.uniform(0, 1 - width), y = rng.uniform(0, 1 - height);
    const Box box{static_cast<float>(x), static_cast<float>(y), static_cast<float>(x + width),
                  static_cast<float>(y + height)};
    const bool free = std::none_of(
        record.regions.begin(), record.regions.end(),
        [&](const Region& region) { return !region.text.empty() && iou(region.box, box) >= 0.3f; });
    if (free) boxes.push_back(box);
  }
  return boxes;
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

  sample.choices = choices_of(record);
  sample.pair = record_value(record, "pair");
  add_regions(picture, sample);
  return sample;
}

// Why a box of the data does not count; empty where it does.
std::string_view SampleReader::refused(const Region& region, std::string_view text,
                                       double area) const {
  const BoxSelection& boxes = options_.boxes;
  if (text.empty() && boxes.distractors < 0) return "region without text";
  if (is_crowd(region) && !boxes.crowd) return "crowd region";
  if (area < boxes.min_area) return "box below the smallest area";
  if (boxes.max_area > 0 && area > boxes.max_area) return "box above the largest area";
  return {};
}

void SampleReader::add_regions(const SourcePicture& picture, EvalSample& sample) const {
  const Record& record = *picture.record;
  std::vector<Region> regions = record.regions;
  if (options_.boxes.distractors > 0) {
    for (const Box& box : random_boxes(record, options_.boxes.distractors, options_.boxes.seed)) {
      Region& made = regions.emplace_back();
      made.box = box;
    }
  }
  const double pixels = static_cast<double>(picture.width) * static_cast<double>(picture.height);
  std::vector<Box> boxes;
  for (const Region& region : regions) boxes.push_back(region.box);
  const auto side = static_cast<int>(config_.vision.image_size);
  MappedBoxes mapped;
  if (options_.boxes_off_canvas) {
    for (const Box& box : boxes) {
      mapped.source.push_back(static_cast<int>(mapped.boxes.size()));
      mapped.boxes.push_back(clip_to_unit(picture.map.to_canvas(box)));
    }
  } else {
    mapped = map_boxes(boxes, picture.map, side, side, {.min_side_px = 0});
  }
  for (size_t i = mapped.boxes.size(); i < boxes.size(); ++i) {
    skips_.add("box outside the canvas", picture.name);
  }
  for (size_t i = 0; i < mapped.boxes.size(); ++i) {
    const Region& region = regions[static_cast<size_t>(mapped.source[i])];
    const double area = static_cast<double>(region.box.width()) * region.box.height() * pixels;
    std::string text = said(region, options_.region_text);
    if (const auto why = refused(region, text, area); !why.empty()) {
      skips_.add(why, picture.name);
      continue;
    }
    EvalRegion& made = sample.regions.emplace_back();
    made.image_box = region.box;
    made.canvas_box = mapped.boxes[i];
    made.text = std::move(text);
    made.held_out = is_held_out(region);
    made.area = area;
    made.frequency = frequency_of(region);
    made.negatives = negatives_of(region.extra);
    if (const auto kind = region.extra.find("kind");
        kind != region.extra.end() && kind->is_string())
      made.kind = kind->get<std::string>();
    made.any_boxes = any_boxes_of(region, picture.map);
  }
}

}  // namespace opencloc
