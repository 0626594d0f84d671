#include "opencloc/data/load/loader_sample.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/random_streams.h"

namespace opencloc {
namespace {

constexpr int kSubstitutes = 16;  // at finding another sample that serves

Image decode(const Record& record, const std::string& name, const DecodeOptions& options) {
  try {
    return Image::decode(record.image, name, options);
  } catch (const Error& error) {
    throw BadSample(skip::kBadImage, error.what(), name);
  }
}

// The text of the picture: one of its captions at random, or its alt-text. Draws the same whatever
// is wanted.
std::string choose_text(const Record& record, const SampleOptions& options, Rng& rng) {
  const double pick_alt = rng.uniform(), alt_text = options.alt_text;
  const uint64_t pick = rng.next();
  if (options.caption_from == CaptionFrom::kAltText) return record.alt_text;
  if (options.caption_from == CaptionFrom::kEntities) return {};  // draw_entity()
  std::vector<std::string_view> captions;
  if (!record.caption.empty()) captions.push_back(record.caption);
  for (const auto& caption : record.captions) {
    if (!caption.empty() && caption != record.caption) captions.push_back(caption);
  }
  if (captions.empty() || (!record.alt_text.empty() && pick_alt < alt_text)) {
    return record.alt_text;
  }
  return std::string(captions[pick % captions.size()]);
}

// With probability `share`, the "phrase" (a string, or one of a list) kept beside the text.
void choose_phrase(Region& region, double share, Rng& rng) {
  const bool wanted = rng.chance(share);
  const uint64_t pick = rng.next();
  const auto it = region.extra.find("phrase");
  if (!wanted || it == region.extra.end()) return;
  const Json& value = it->is_array() && !it->empty() ? (*it)[pick % it->size()] : *it;
  if (value.is_string() && !value.get_ref<const std::string&>().empty()) region.text = value;
}

std::vector<Box> boxes_of(const std::vector<Region>& regions) {
  std::vector<Box> boxes;
  for (const auto& region : regions) boxes.push_back(region.box);
  return boxes;
}

bool any_direction(const std::string& text, const std::vector<Region>& regions) {
  return mentions_direction(text) ||
         std::any_of(regions.begin(), regions.end(),
                     [](const Region& region) { return mentions_direction(region.text); });
}

// Every side moves by a normal share of the box's extent; corners stay in order and in the picture.
Box jittered(const Box& box, double sigma, Rng& rng) {
  const auto moved = [&](float at, float extent) {
    return at + static_cast<float>(sigma * rng.normal()) * extent;
  };
  Box result{moved(box.x0, box.width()), moved(box.y0, box.height()), moved(box.x1, box.width()),
             moved(box.y1, box.height())};
  if (result.x0 > result.x1) std::swap(result.x0, result.x1);
  if (result.y0 > result.y1) std::swap(result.y0, result.y1);
  result = clip_to_unit(result);
  return result.width() > 0 && result.height() > 0 ? result : box;
}

// Points of an ellipse inside the box stand for a mask; a point prompt takes the first.
void fill_points(PreparedRegion& region, Rng& rng) {
  const Box& box = region.box;
  for (auto& point : region.points) {
    const double angle = 6.283185307179586 * rng.uniform();
    const double radius = 0.5 * std::sqrt(rng.uniform());
    point = {box.x0 + box.width() * static_cast<float>(0.5 + radius * std::cos(angle)),
             box.y0 + box.height() * static_cast<float>(0.5 + radius * std::sin(angle))};
  }
}

// The strings of its "negatives".
std::vector<std::string> wrong_texts(const Region& region) {
  std::vector<std::string> texts;
  const auto found = region.extra.find("negatives");
  if (found == region.extra.end() || !found->is_array()) return texts;
  for (const Json& text : *found) {
    if (text.is_string() && !text.get_ref<const std::string&>().empty() && text != region.text)
      texts.push_back(text.get<std::string>());
  }
  return texts;
}

// In an order that is drawn without replacement, each by its score among those that are left
// (Efraimidis and Spirakis, 2006).
void first_by_score(std::vector<PreparedRegion>& regions, Rng& rng) {
  std::vector<std::pair<double, size_t>> keys;
  for (size_t i = 0; i < regions.size(); ++i) {
    const double score = std::max<double>(kLeastScore, regions[i].score);
    keys.emplace_back(std::log(1 - rng.uniform()) / score, i);
  }
  std::ranges::stable_sort(keys, std::ranges::greater(), &std::pair<double, size_t>::first);
  std::vector<PreparedRegion> ordered;
  for (const auto& [key, i] : keys) ordered.push_back(std::move(regions[i]));
  regions = std::move(ordered);
}

void check_share(double value, const char* setting) {
  if (!(value >= 0 && value <= 1)) {
    throw Error::input(std::to_string(value) + " is not a share", setting, "give 0 to 1");
  }
}

}  // namespace

void require_learnable(const Record& record, const Learnable& what, const SampleOptions& options,
                       const std::string& where) {
  const bool labelled = what.classes > 0;
  if (options.entity_loss == EntityLossUse::kOnly) {
    if (!labelled) throw BadSample(skip::kNoEntity, "no entity that is a class", where);
    return;
  }
  if (options.pictures_alone) return;
  const bool regions = options.regions_per_image > 0 &&
                       std::any_of(record.regions.begin(), record.regions.end(),
                                   [](const Region& region) { return !region.text.empty(); });
  if (!what.text.empty() || regions || (labelled && options.entity_loss != EntityLossUse::kNone))
    return;
  throw BadSample(skip::kNoText,
                  options.caption_from == CaptionFrom::kCaption
                      ? "neither caption nor alt-text (nor region to train)"
                  : options.caption_from == CaptionFrom::kAltText
                      ? "no alt-text (nor region to train)"
                      : "no entity (nor region to train)",
                  where);
}

std::string example_text(const Record& record, const SampleOptions& options, Rng& rng) {
  if (options.caption_from == CaptionFrom::kCaption) return std::string(image_text(record));
  if (options.caption_from == CaptionFrom::kAltText) return record.alt_text;
  const auto found = options.entities->of(record, record.key).known;
  if (found.empty()) return {};
  return options.entities->text(found[rng.below(found.size())], rng);
}

std::vector<std::string> possible_texts(const Record& record, const SampleOptions& options) {
  std::vector<std::string> texts;
  if (options.caption_from == CaptionFrom::kCaption) {
    texts.emplace_back(image_text(record));
    texts.insert(texts.end(), record.captions.begin(), record.captions.end());
  } else if (options.caption_from == CaptionFrom::kAltText) {
    texts.push_back(record.alt_text);
  } else {
    for (const auto& entity : options.entities->of(record, record.key).known) {
      for (auto& text : options.entities->texts(entity)) texts.push_back(std::move(text));
    }
  }
  std::erase(texts, "");
  return texts;
}

void SampleOptions::validate() const {
  check_share(mosaic, "setting 'mosaic'");
  check_share(alt_text, "setting 'alt_text'");
  check_share(phrase, "setting 'phrase'");
  check_share(point_prompts, "setting 'point_prompts'");
  check_share(mask_prompts, "setting 'mask_prompts'");
  check_share(point_prompts + mask_prompts, "setting 'point_prompts' plus setting 'mask_prompts'");
  check_share(label_noise, "setting 'label_noise'");
  check_share(box_jitter, "setting 'box_jitter'");
  if (mosaic_grid < 2 || mosaic_grid > 8) {
    throw Error::input(
        "a mosaic has 2 to 8 pictures along its side, not " + std::to_string(mosaic_grid),
        "setting 'mosaic_grid'", "give 2 to 8");
  }
  if (hard_negatives < 0) {
    throw Error::input("a negative number of hard negatives", "setting 'hard_negatives'",
                       "give 0 or more");
  }
  if (regions_per_image < 0) {
    throw Error::input("a negative number of regions", "setting 'regions_per_image'",
                       "give 0 or more");
  }
}

SampleMaker::SampleMaker(const SampleStore& store, const Tokenizer& tokenizer,
                         SampleOptions options, uint64_t seed)
    : store_(store), tokenizer_(tokenizer), options_(std::move(options)), seed_(seed) {
  options_.validate();
}

PreparedSample SampleMaker::make(const Draw& draw) const {
  Rng rng(seed_, {static_cast<uint64_t>(draw.source), draw.epoch, draw.index});
  if (options_.sequences) return with_sequence(draw, rng);
  const bool mosaic = rng.chance(options_.mosaic);
  Picture picture = load(draw, rng);
  auto sample = mosaic ? from_mosaic(draw, std::move(picture), rng)
                       : from_picture(draw, std::move(picture), rng);
  tokenize_texts(sample);
  add_rated_boxes(draw, sample);
  add_orders(draw, sample);
  choose(sample, rng);
  draw_negatives(draw, sample);
  return sample;
}

PreparedSample on_canvas(const Image& image, PreparedSequence sequence,
                         const CanvasOptions& canvas) {
  PreparedSample sample;
  auto placed = to_canvas(image, canvas);
  sample.canvas = std::move(placed.image);
  const auto moved = [&](float x, float y) {
    const Box at = clip_to_unit(placed.map.to_canvas({x, y, x, y}));
    return std::array<float, 2>{at.x0, at.y0};
  };
  for (auto& named : sequence.regions) {
    PreparedRegion region;
    region.box = clip_to_unit(placed.map.to_canvas(named.box));
    region.prompt_kind = named.is_point ? 1 : 0;
    if (named.is_point) region.points[0] = moved(named.box.x0, named.box.y0);
    for (const auto& [x, y] : named.cloud) region.cloud.push_back(moved(x, y));
    sample.regions.push_back(std::move(region));
  }
  sample.sequence = std::move(sequence.ids);
  sample.learned = std::move(sequence.learned);
  return sample;
}

PreparedSample SampleMaker::with_sequence(const Draw& draw, Rng& rng) const {
  Record record = store_.read(draw.source, draw.index);
  const std::string name = store_.name(draw.source, draw.index, record.key);
  const Image image = decode(record, name, {});
  PreparedSample sample =
      on_canvas(image, options_.sequences->make(record, name, image.width, image.height, rng),
                options_.canvas);
  sample.name = name;
  sample.problems = std::move(record.problems);
  return sample;
}

// Before the choice of regions: a box may hold any object of the canvas. A stream of its own, so
// that all else is drawn as without them.
void SampleMaker::add_rated_boxes(const Draw& draw, PreparedSample& sample) const {
  if (options_.rated_boxes == 0) return;
  std::vector<Box> objects;
  for (const PreparedRegion& region : sample.regions) objects.push_back(region.box);
  Rng rng(seed_,
          {random_stream::kRatedBoxes, static_cast<uint64_t>(draw.source), draw.epoch, draw.index});
  sample.rated = opencloc::rated_boxes(objects, options_.rated_boxes, rng);
}

// Streams of their own here, too.
void SampleMaker::add_orders(const Draw& draw, PreparedSample& sample) const {
  constexpr float kPadding = 2;
  if (options_.ordered_grid == 0 && !options_.ordered_words) return;
  Rng rng(seed_,
          {random_stream::kMasks, static_cast<uint64_t>(draw.source), draw.epoch, draw.index});
  const auto grid = options_.ordered_grid;
  const auto side = 1.0F / static_cast<float>(std::max<int64_t>(1, grid));
  const Box& content = sample.content;
  for (int64_t y = 0; y < grid; ++y) {
    for (int64_t x = 0; x < grid; ++x) {
      const auto left = static_cast<float>(x) * side, top = static_cast<float>(y) * side;
      const bool seen = left + side > content.x0 && left < content.x1 && top + side > content.y0 &&
                        top < content.y1;
      const auto drawn = static_cast<float>(rng.uniform());
      sample.patch_order.push_back(seen ? drawn : kPadding);
    }
  }
  if (!options_.ordered_words) return;
  for (int64_t i = 0; i < options_.context_length; ++i)
    sample.word_order.push_back(static_cast<float>(rng.uniform()));
}

void SampleMaker::add_views(const Draw& draw, const Image& image, PreparedSample& sample) const {
  if (options_.captioned_view) {
    Rng rng(seed_, {random_stream::kCaptionedView, static_cast<uint64_t>(draw.source), draw.epoch,
                    draw.index});
    AugmentOptions crop = options_.crop;
    if (mentions_direction(sample.text)) crop.flip_probability = 0;
    sample.captioned.push_back(augment(image, options_.canvas, crop, rng).image);
  }
  if (!options_.views) return;
  Rng rng(seed_,
          {random_stream::kViews, static_cast<uint64_t>(draw.source), draw.epoch, draw.index});
  CanvasOptions canvas = options_.canvas;
  canvas.rule = CanvasRule::kSquash;  // torchvision's RandomResizedCrop
  for (int view = 0; view < 2; ++view) {
    sample.views.push_back(augment(image, canvas, options_.view_crop, rng).image);
    change_colours(sample.views.back(), options_.view_colours, rng);
  }
}

// A stream of its own, as all of these.
void SampleMaker::add_box_crops(const Draw& draw, const Image& image, const CanvasMap& map,
                                PreparedSample& sample) const {
  if (options_.box_crops == 0) return;
  std::vector<Box> objects;
  for (const PreparedRegion& region : sample.regions) objects.push_back(region.box);
  CanvasOptions canvas = options_.canvas;
  canvas.width = canvas.height = options_.crop_size;
  Rng rng(seed_,
          {random_stream::kBoxCrops, static_cast<uint64_t>(draw.source), draw.epoch, draw.index});
  for (const Box& box : boxes_to_crop(objects, sample.content, options_.box_crops, rng))
    sample.crops.push_back({box, crop_of_box(image, map, box, canvas)});
}

// Also what a crop keeps of a smaller picture fills the canvas.
DecodeOptions SampleMaker::decoding() const {
  if (!options_.jpeg_draft) return {};
  const double kept = options_.augment ? std::sqrt(options_.crop.scale_min) : 1;
  const int side = std::max(options_.canvas.width, options_.canvas.height);
  return {.shrink_to = static_cast<int>(std::ceil(side / kept))};
}

// A stream of its own: the rest is drawn as without entities.
void SampleMaker::draw_entity(const Draw& draw, const Record& record, Picture& picture) const {
  if (!options_.entities) return;
  auto found = options_.entities->of(record, picture.name);
  picture.unknown_entities = found.unknown;
  if (found.known.empty()) return;
  Rng rng(seed_,
          {random_stream::kEntity, static_cast<uint64_t>(draw.source), draw.epoch, draw.index});
  const size_t drawn = rng.below(found.known.size());
  if (options_.caption_from == CaptionFrom::kEntities)
    picture.text = options_.entities->text(found.known[drawn], rng);
  if (options_.entities->classes() == 0) return;
  for (size_t i = 0; i < found.known.size(); ++i) {
    const auto index = found.known[i].class_index;
    if (i == drawn) {
      picture.entity = index;
    } else {
      picture.other_entities.push_back(index);
    }
  }
}

SampleMaker::Picture SampleMaker::load(const Draw& draw, Rng& rng) const {
  const int source = draw.source;
  const uint64_t index = draw.index;
  Record record = store_.read(source, index);
  Picture picture;
  picture.name = store_.name(source, index, record.key);
  picture.problems = std::move(record.problems);
  picture.text = choose_text(record, options_, rng);
  draw_entity(draw, record, picture);
  require_learnable(record, {picture.text, picture.entity < 0 ? size_t{0} : size_t{1}}, options_,
                    picture.name);
  picture.image = decode(record, picture.name, decoding());
  if (options_.regions_per_image > 0) {
    picture.regions = std::move(record.regions);
    std::erase_if(picture.regions, [](const Region& region) { return region.text.empty(); });
    for (auto& region : picture.regions) choose_phrase(region, options_.phrase, rng);
    add_noise(source, index, picture.regions);
  }
  return picture;
}

void SampleMaker::add_noise(int source, uint64_t index, std::vector<Region>& regions) const {
  if (options_.box_jitter == 0 && options_.label_noise == 0) return;
  Rng rng(seed_, {random_stream::kNoise, static_cast<uint64_t>(source), index});
  for (auto& region : regions) {
    region.box = jittered(region.box, options_.box_jitter, rng);
    if (rng.chance(options_.label_noise)) {
      region.text = text_from_elsewhere(source, region.text, rng);
    }
  }
}

std::string SampleMaker::text_from_elsewhere(int source, const std::string& own, Rng& rng) const {
  for (int i = 0; i < kSubstitutes; ++i) {
    try {
      const Record other = store_.read(source, rng.below(store_.size(source)));
      if (other.regions.empty()) continue;
      const auto& text = other.regions[rng.below(other.regions.size())].text;
      if (!text.empty() && text != own) return text;
    } catch (const BadSample&) {
      continue;  // counted where the sample itself is drawn
    }
  }
  return own;  // the data has no other text
}

PreparedSample SampleMaker::from_picture(const Draw& draw, Picture picture, Rng& rng) const {
  PreparedSample sample;
  sample.name = std::move(picture.name);
  sample.text = std::move(picture.text);
  sample.entity = picture.entity;
  sample.other_entities = std::move(picture.other_entities);
  sample.unknown_entities = picture.unknown_entities;
  sample.problems = std::move(picture.problems);
  AugmentOptions crop = options_.crop;
  if (any_direction(sample.text, picture.regions)) crop.flip_probability = 0;
  auto placed = options_.augment ? augment(picture.image, options_.canvas, crop, rng)
                                 : to_canvas(picture.image, options_.canvas);
  const auto mapped = map_boxes(boxes_of(picture.regions), placed.map, options_.canvas.width,
                                options_.canvas.height, options_.box_filter);
  sample.canvas = std::move(placed.image);
  sample.content = clip_to_unit(placed.map.to_canvas({0, 0, 1, 1}));
  add_views(draw, picture.image, sample);
  add_regions(picture.regions, mapped, sample);
  add_box_crops(draw, picture.image, placed.map, sample);
  return sample;
}

PreparedSample SampleMaker::from_mosaic(const Draw& draw, Picture first, Rng& rng) const {
  const int64_t entity_of_first = first.entity;
  const int grid = options_.mosaic_grid;
  std::vector<Picture> tiles;
  tiles.push_back(std::move(first));
  while (static_cast<int>(tiles.size()) < grid * grid) {
    for (int i = 0;; ++i) {
      try {
        Draw tile = draw;
        tile.index = rng.below(store_.size(draw.source));
        tiles.push_back(load(tile, rng));
        break;
      } catch (const BadSample&) {
        if (i == kSubstitutes) throw;  // counted where the sample itself is drawn, and here at last
      }
    }
  }
  rng.shuffle(tiles);

  PreparedSample sample;
  std::vector<const Image*> images;
  for (const auto& tile : tiles) {
    images.push_back(&tile.image);
    if (!tile.text.empty()) sample.text += (sample.text.empty() ? "" : ", ") + tile.text;
    sample.name += (sample.name.empty() ? "" : "+") + tile.name;
    sample.unknown_entities += tile.unknown_entities;
  }
  // The drawn picture's entity, or that of the first tile with one; all others are true as well.
  sample.entity = entity_of_first;
  std::vector<int64_t> others;
  for (const auto& tile : tiles) {
    if (sample.entity < 0) sample.entity = tile.entity;
    if (tile.entity >= 0) others.push_back(tile.entity);
    others.insert(others.end(), tile.other_entities.begin(), tile.other_entities.end());
  }
  std::ranges::sort(others);
  others.erase(std::unique(others.begin(), others.end()), others.end());
  std::erase(others, sample.entity);
  sample.other_entities = std::move(others);
  Mosaic mosaic = make_mosaic(images, grid, options_.canvas);
  for (size_t i = 0; i < tiles.size(); ++i) {
    const auto mapped = map_tile_boxes(boxes_of(tiles[i].regions), mosaic, i, options_.box_filter);
    add_regions(tiles[i].regions, mapped, sample);
  }
  sample.canvas = std::move(mosaic.image);
  add_views(draw, sample.canvas, sample);
  add_box_crops(draw, sample.canvas, {}, sample);
  return sample;
}

void SampleMaker::add_regions(const std::vector<Region>& regions, const MappedBoxes& mapped,
                              PreparedSample& sample) const {
  for (size_t i = 0; i < mapped.boxes.size(); ++i) {
    PreparedRegion region;
    region.box = mapped.boxes[i];
    const Region& source = regions[static_cast<size_t>(mapped.source[i])];
    region.text = source.text;
    region.score = source.score;
    if (options_.hard_negatives > 0) region.wrong_texts = wrong_texts(source);
    sample.regions.push_back(std::move(region));
  }
}

// Before the choice of regions: whether a text names another box too is a question to all of them.
void SampleMaker::tokenize_texts(PreparedSample& sample) const {
  sample.tokens = tokenize(tokenizer_, sample.text, options_.context_length);
  std::map<std::vector<int32_t>, int> boxes_named;  // texts are equal when their tokens are
  for (auto& region : sample.regions) {
    region.tokens = tokenize(tokenizer_, region.text, options_.context_length);
    ++boxes_named[region.tokens.ids];
  }
  for (auto& region : sample.regions) region.names_one_box = boxes_named[region.tokens.ids] == 1;
}

// At most M regions, uniformly or by their scores, and how each is prompted.
void SampleMaker::choose(PreparedSample& sample, Rng& rng) const {
  rng.shuffle(sample.regions);
  if (options_.region_score == RegionScore::kSample) first_by_score(sample.regions, rng);
  const auto most = static_cast<size_t>(options_.regions_per_image);
  if (sample.regions.size() > most) sample.regions.resize(most);
  for (auto& region : sample.regions) {
    const double kind = rng.uniform();
    const double points = options_.point_prompts, masks = options_.mask_prompts;
    region.prompt_kind = kind < points ? 1 : kind < points + masks ? 2 : 0;
    fill_points(region, rng);
  }
}

// A stream of its own, here too.
void SampleMaker::draw_negatives(const Draw& draw, PreparedSample& sample) const {
  if (options_.hard_negatives == 0) return;
  Rng rng(seed_,
          {random_stream::kNegatives, static_cast<uint64_t>(draw.source), draw.epoch, draw.index});
  for (auto& region : sample.regions) {
    rng.shuffle(region.wrong_texts);
    for (const auto& text : region.wrong_texts) {
      if (static_cast<int64_t>(region.negatives.size()) == options_.hard_negatives) break;
      auto tokens = tokenize(tokenizer_, text, options_.context_length);
      if (tokens.ids != region.tokens.ids) region.negatives.push_back(std::move(tokens));
    }
  }
}

}  // namespace opencloc
