#include "opencloc/data/load/batch_builder.h"

#include <algorithm>
#include <utility>

#include "opencloc/image/normalize.h"

namespace opencloc {
namespace {

struct TextTensors {
  torch::Tensor ids;     // [n, T]
  torch::Tensor length;  // [n]
};

template <typename Items, typename TokensOf>
TextTensors stack_texts(const Items& items, int64_t context, TokensOf tokens_of) {
  const auto count = static_cast<int64_t>(items.size());
  TextTensors out{torch::zeros({count, context}, torch::kInt64),
                  torch::zeros({count}, torch::kInt64)};
  auto* ids = out.ids.template data_ptr<int64_t>();
  auto* length = out.length.template data_ptr<int64_t>();
  for (const auto& item : items) {
    const TokenizedText& text = tokens_of(item);
    std::copy(text.ids.begin(), text.ids.end(), ids);
    ids += context;
    *length++ = text.length;
  }
  return out;
}

// FNV-1a of the ids, stirred (SplitMix64's last step). Two texts of a batch of 131,072 regions get
// one number with a probability of 5e-10; they would then not be negatives of each other.
int64_t text_hash(const std::vector<int32_t>& ids) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const int32_t id : ids) hash = (hash ^ static_cast<uint32_t>(id)) * 0x100000001b3;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
  return static_cast<int64_t>(hash ^ (hash >> 31));
}

torch::Tensor int64s(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

float* put_box(const Box& box, float* corners) {
  for (const float value : {box.x0, box.y0, box.x1, box.y1}) *corners++ = value;
  return corners;
}

}  // namespace

BatchBuilder::BatchBuilder(int64_t batch_size, const SampleOptions& options,
                           const PixelOptions& pixels)
    : batch_size_(batch_size), options_(options), pixels_(pixels) {
  const int64_t height = options.canvas.height, width = options.canvas.width;
  const auto place = torch::TensorOptions().pinned_memory(pixels.pinned);
  const auto empty = [&](int64_t count, int64_t high, int64_t wide) {
    return pixels.bytes ? torch::empty({count, high, wide, 3}, place.dtype(torch::kByte))
                        : torch::empty({count, 3, high, wide}, place);
  };
  batch_.pixels = empty(batch_size, height, width);
  if (options.captioned_view) batch_.captioned_view = empty(batch_size, height, width);
  if (options.box_crops > 0) {
    batch_.crop_pixels =
        empty(batch_size * options.box_crops, options.crop_size, options.crop_size);
  }
  if (!options.views) return;
  batch_.first_view = empty(batch_size, height, width);
  batch_.second_view = empty(batch_size, height, width);
}

void BatchBuilder::put_pixels(const Image& canvas, const torch::Tensor& pixels, int64_t row) const {
  if (pixels_.bytes) {
    std::copy(canvas.pixels.begin(), canvas.pixels.end(), pixels[row].data_ptr<uint8_t>());
  } else {
    normalize_chw(canvas, pixels_.mean, pixels_.std, pixels[row].data_ptr<float>());
  }
}

void BatchBuilder::add(PreparedSample sample) {
  const auto row = static_cast<int64_t>(batch_.keys.size());
  put_pixels(sample.canvas, batch_.pixels, row);
  if (options_.captioned_view) put_pixels(sample.captioned[0], batch_.captioned_view, row);
  if (options_.views) {
    put_pixels(sample.views[0], batch_.first_view, row);
    put_pixels(sample.views[1], batch_.second_view, row);
  }
  for (const auto& [box, image] : sample.crops) {
    put_pixels(image, batch_.crop_pixels, static_cast<int64_t>(crop_boxes_.size()));
    crop_boxes_.push_back(box);
    crop_image_.push_back(row);
  }
  patch_order_.insert(patch_order_.end(), sample.patch_order.begin(), sample.patch_order.end());
  word_order_.insert(word_order_.end(), sample.word_order.begin(), sample.word_order.end());
  batch_.keys.push_back(std::move(sample.name));
  batch_.texts.push_back(std::move(sample.text));
  captions_.push_back(std::move(sample.tokens));
  if (!sample.sequence.empty())
    sequences_.push_back({std::move(sample.sequence), std::move(sample.learned)});
  batch_.images_with_regions += sample.regions.empty() ? 0 : 1;
  for (auto& region : sample.regions) {
    region_image_.push_back(row);
    regions_.push_back(std::move(region));
  }
  entity_.push_back(sample.entity);
  entity_others_.insert(entity_others_.end(), sample.other_entities.begin(),
                        sample.other_entities.end());
  entity_others_begin_.push_back(static_cast<int64_t>(entity_others_.size()));
  for (const RatedBox& rated : sample.rated) {
    rated_image_.push_back(row);
    rated_.push_back(rated);
  }
}

void BatchBuilder::finish_rated_boxes() {
  if (options_.rated_boxes == 0) return;
  const auto count = static_cast<int64_t>(rated_.size());
  batch_.rated_boxes = torch::empty({count, 4});
  batch_.rated_iou = torch::empty({count});
  batch_.rated_image = int64s(rated_image_);
  auto* corners = batch_.rated_boxes.data_ptr<float>();
  auto* ious = batch_.rated_iou.data_ptr<float>();
  for (const auto& [box, iou] : rated_) {
    corners = put_box(box, corners);
    *ious++ = iou;
  }
}

void BatchBuilder::finish_crops() {
  if (options_.box_crops == 0) return;
  const auto count = static_cast<int64_t>(crop_boxes_.size());
  batch_.crop_boxes = torch::empty({count, 4});
  batch_.crop_image = int64s(crop_image_);
  batch_.crop_pixels = batch_.crop_pixels.slice(0, 0, count);
  auto* corners = batch_.crop_boxes.data_ptr<float>();
  for (const Box& box : crop_boxes_) corners = put_box(box, corners);
}

void BatchBuilder::finish_sequences() {
  if (sequences_.empty()) return;
  size_t longest = 0;
  for (const auto& sequence : sequences_) longest = std::max(longest, sequence.ids.size());
  const auto rows = static_cast<int64_t>(sequences_.size());
  const auto length = static_cast<int64_t>(longest);
  batch_.sequence_ids = torch::zeros({rows, length}, torch::kInt64);
  batch_.sequence_learned = torch::zeros({rows, length}, torch::kBool);
  for (int64_t row = 0; row < rows; ++row) {
    const auto& [ids, learned] = sequences_[static_cast<size_t>(row)];
    std::copy(ids.begin(), ids.end(), batch_.sequence_ids.data_ptr<int64_t>() + row * length);
    std::copy(learned.begin(), learned.end(),
              batch_.sequence_learned.data_ptr<bool>() + row * length);
  }
  const auto points = regions_.empty() ? 0 : static_cast<int64_t>(regions_.front().cloud.size());
  batch_.clouds = torch::empty({static_cast<int64_t>(regions_.size()), points, 2});
  auto* at = batch_.clouds.data_ptr<float>();
  for (const auto& region : regions_)
    for (const auto& point : region.cloud) at = std::copy(point.begin(), point.end(), at);
}

void BatchBuilder::finish_scores_and_negatives() {
  if (options_.region_score == RegionScore::kWeight) {
    std::vector<float> weights;
    for (const auto& region : regions_)
      weights.push_back(std::max(static_cast<float>(kLeastScore), region.score));
    batch_.region_weight = torch::tensor(weights);
  }
  if (options_.hard_negatives == 0) return;
  std::vector<TokenizedText> negatives;
  std::vector<int64_t> of_region;
  for (size_t i = 0; i < regions_.size(); ++i) {
    for (const auto& negative : regions_[i].negatives) {
      negatives.push_back(negative);
      of_region.push_back(static_cast<int64_t>(i));
    }
  }
  const auto texts = stack_texts(
      negatives, options_.context_length, [](const auto& text) -> const auto& { return text; });
  batch_.negative_ids = texts.ids;
  batch_.negative_length = texts.length;
  batch_.negative_region = int64s(of_region);
}

Batch BatchBuilder::finish() {
  const auto count = static_cast<int64_t>(regions_.size());
  const auto captions = stack_texts(
      captions_, options_.context_length, [](const auto& text) -> const auto& { return text; });
  batch_.text_ids = captions.ids;
  batch_.text_length = captions.length;
  std::vector<int64_t> caption_ids;
  for (const auto& caption : captions_) caption_ids.push_back(text_hash(caption.ids));
  batch_.text_id = int64s(caption_ids);
  if (options_.entities && options_.entities->classes() > 0) {
    batch_.entity = int64s(entity_);
    batch_.entity_others = int64s(entity_others_);
    batch_.entity_others_begin = int64s(entity_others_begin_);
  }
  const auto texts = stack_texts(
      regions_, options_.context_length,
      [](const auto& region) -> const auto& { return region.tokens; });
  batch_.region_ids = texts.ids;
  batch_.region_length = texts.length;

  batch_.boxes = torch::empty({count, 4});
  batch_.points = torch::empty({count, kMaskPoints, 2});
  std::vector<int64_t> kinds, text_ids;
  batch_.names_one_box = torch::ones({count}, torch::kBool);
  for (int64_t i = 0; i < count; ++i) {
    auto& region = regions_[static_cast<size_t>(i)];
    put_box(region.box, batch_.boxes.data_ptr<float>() + 4 * i);
    auto* points = batch_.points.data_ptr<float>() + 2 * kMaskPoints * i;
    for (const auto& point : region.points) points = std::copy(point.begin(), point.end(), points);
    kinds.push_back(region.prompt_kind);
    batch_.names_one_box.data_ptr<bool>()[i] = region.names_one_box;
    text_ids.push_back(text_hash(region.tokens.ids));
    batch_.region_texts.push_back(std::move(region.text));
  }
  finish_rated_boxes();
  finish_crops();
  finish_scores_and_negatives();
  finish_sequences();
  batch_.region_image = int64s(region_image_);
  batch_.region_text_id = int64s(text_ids);
  if (std::all_of(kinds.begin(), kinds.end(), [](int64_t kind) { return kind == 0; })) {
    batch_.points.reset();  // boxes alone
  } else {
    batch_.prompt_kind = int64s(kinds);
  }
  batch_.has_text = torch::ones({static_cast<int64_t>(batch_.texts.size())}, torch::kBool);
  bool all_have_text = true;
  for (size_t i = 0; i < batch_.texts.size(); ++i) {
    const bool has = !batch_.texts[i].empty();
    batch_.has_text.data_ptr<bool>()[i] = has;
    all_have_text = all_have_text && has;
  }
  if (all_have_text) batch_.has_text.reset();
  const bool all_named_once =
      std::all_of(regions_.begin(), regions_.end(),
                  [](const PreparedRegion& region) { return region.names_one_box; });
  if (all_named_once) batch_.names_one_box.reset();
  const auto rows = static_cast<int64_t>(batch_.keys.size());
  for (torch::Tensor* pixels :
       {&batch_.pixels, &batch_.first_view, &batch_.second_view, &batch_.captioned_view})
    if (pixels->defined()) *pixels = pixels->slice(0, 0, rows);
  if (!patch_order_.empty()) batch_.patch_order = torch::tensor(patch_order_).view({rows, -1});
  if (!word_order_.empty()) batch_.word_order = torch::tensor(word_order_).view({rows, -1});
  return std::move(batch_);
}

}  // namespace opencloc
