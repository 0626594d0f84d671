#include "opencloc/eval/sample_reader.h"

#include <algorithm>
#include <utility>

#include "opencloc/base/files.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/threads.h"
#include "opencloc/data/find_shards.h"
#include "opencloc/model/preprocess.h"

namespace opencloc {
namespace {

bool is_plain_tar(const std::string& path) { return path.ends_with(".tar"); }

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
      shards_(find_shards(data_glob, {.skip_bad_shards = options.skip_bad_shards}, skips)) {
  if (std::all_of(shards_.begin(), shards_.end(), is_plain_tar)) {
    SkipCounter scratch(0);  // the reading itself counts
    for (const auto& shard : shards_) {
      expected_ += count_samples(shard, scratch, {.skip_bad_shards = options_.skip_bad_shards});
    }
    if (options_.max_samples > 0) expected_ = std::min(expected_, options_.max_samples);
  }
}

SampleReader::~SampleReader() {
  if (ahead_.valid()) ahead_.wait();
}

std::vector<EvalSample> SampleReader::next_batch() {
  auto batch = ahead_.valid() ? ahead_.get() : load_batch();
  if (!batch.empty()) ahead_ = in_background([this] { return load_batch(); });
  return batch;
}

// Up to batch_size records; empty at the end of the last shard.
std::vector<Record> SampleReader::read_records() {
  std::vector<Record> records;
  names_.clear();
  while (static_cast<int64_t>(records.size()) < options_.batch_size) {
    if (!shard_) {
      if (next_shard_ == shards_.size()) break;
      shard_ =
          std::make_unique<ShardReader>(shards_[next_shard_++], skips_,
                                        ShardOptions{.skip_bad_shards = options_.skip_bad_shards});
    }
    Record record;
    if (shard_->next(record)) {
      names_.push_back(shard_->name());
      records.push_back(std::move(record));
    } else {
      shard_.reset();
    }
  }
  return records;
}

// Reads on until there is a good sample, so that a batch of broken ones does not look like the end.
std::vector<EvalSample> SampleReader::load_batch() {
  std::vector<EvalSample> batch;
  while (batch.empty()) {
    if (options_.max_samples > 0 && taken_ >= options_.max_samples) break;
    auto records = read_records();
    if (records.empty()) break;
    std::vector<std::optional<EvalSample>> loaded(records.size());
    parallel_for(static_cast<int64_t>(records.size()), options_.workers, [&](int64_t i) {
      const auto at = static_cast<size_t>(i);
      loaded[at] = load(records[at], names_[at]);
    });
    for (auto& sample : loaded) {
      const bool enough = options_.max_samples > 0 && taken_ >= options_.max_samples;
      if (!sample || enough) continue;
      batch.push_back(std::move(*sample));
      ++taken_;
    }
  }
  return batch;
}

std::optional<EvalSample> SampleReader::load(Record& record, const std::string& name) const {
  EvalSample sample;
  try {
    sample.image = Image::decode(record.image, name);
  } catch (const Error& error) {
    skips_.add(skip::kBadImage, name, error.what());
    return std::nullopt;
  }
  const ModelInput input = preprocess(sample.image, config_);
  sample.pixels = input.pixels;
  sample.captions = captions_of(record);
  sample.label = record.label;

  std::vector<Box> boxes;
  for (const Region& region : record.regions) boxes.push_back(region.box);
  const auto side = static_cast<int>(config_.vision.image_size);
  const MappedBoxes mapped = map_boxes(boxes, input.map, side, side, {.min_side_px = 0});
  for (size_t i = mapped.boxes.size(); i < boxes.size(); ++i) {
    skips_.add("box outside the canvas", name);
  }
  for (size_t i = 0; i < mapped.boxes.size(); ++i) {
    Region& region = record.regions[static_cast<size_t>(mapped.source[i])];
    if (region.text.empty()) {
      skips_.add("region without text", name);
      continue;
    }
    sample.regions.push_back(
        {region.box, mapped.boxes[i], std::move(region.text), is_held_out(region)});
  }
  if (!options_.keep_images) sample.image = {};
  return sample;
}

}  // namespace opencloc
