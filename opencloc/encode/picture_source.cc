#include "opencloc/encode/picture_source.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/sha256.h"
#include "opencloc/base/threads.h"
#include "opencloc/data/remote/remote_names.h"
#include "opencloc/data/shard/find_shards.h"
#include "opencloc/model/clip/preprocess.h"

namespace opencloc {

PictureSource::PictureSource(std::vector<PictureFile> files, const std::string& data_glob,
                             const ModelConfig& config, const PictureSourceOptions& options,
                             SkipCounter& skips)
    : config_(config), options_(options), skips_(skips), files_(std::move(files)) {
  for (const auto& file : files_) {
    if (!std::filesystem::exists(file.path))
      throw Error::input("no such picture", file.path, "check the path");
  }
  if (!data_glob.empty()) {
    shards_ = find_shards(data_glob, {.skip_bad_shards = options_.skip_bad_shards}, skips_);
  }
  const auto plain = [](const std::string& shard) {
    return shard.ends_with(".tar") && !is_remote(shard);
  };
  if (!options_.count_samples || !std::all_of(shards_.begin(), shards_.end(), plain)) {
    if (shards_.empty()) expected_ = static_cast<int64_t>(files_.size());
    return;
  }
  expected_ = static_cast<int64_t>(files_.size());
  SkipCounter scratch(0);  // the reading itself counts
  for (const auto& shard : shards_)
    expected_ += count_samples(shard, scratch, {.skip_bad_shards = options_.skip_bad_shards});
}

PictureSource::~PictureSource() = default;  // waits for the batch that is loaded ahead

std::vector<SourcePicture> PictureSource::next_batch() {
  if (!ahead_.valid()) ahead_ = in_background([this] { return load_batch(); });
  auto batch = ahead_.get();
  if (!batch.empty()) ahead_ = in_background([this] { return load_batch(); });
  return batch;
}

std::vector<SourcePicture> PictureSource::load_batch() {
  auto raws = read_batch();
  parallel_for(static_cast<int64_t>(raws.size()), options_.workers,
               [&](int64_t i) { decode(raws[static_cast<size_t>(i)]); });
  std::vector<SourcePicture> pictures;
  pictures.reserve(raws.size());
  for (auto& raw : raws) pictures.push_back(std::move(raw.picture));
  return pictures;
}

std::vector<PictureSource::Raw> PictureSource::read_batch() {
  std::vector<Raw> raws;
  const auto full = [&] { return static_cast<int64_t>(raws.size()) >= options_.batch_size; };
  while (!full() && next_file_ < files_.size()) {
    auto& file = files_[next_file_++];
    Raw raw;
    raw.picture.name = file.path;
    if (options_.own_regions) raw.picture.regions = std::move(file.regions);
    raws.push_back(std::move(raw));
  }
  while (!full()) {
    if (!shard_) {
      if (next_shard_ == shards_.size()) break;
      ShardOptions options;
      options.skip_bad_shards = options_.skip_bad_shards;
      options.keep_other_members = options_.keep_records;
      shard_ = std::make_unique<ShardReader>(shards_[next_shard_++], skips_, options);
    }
    Record record;
    if (!shard_->next(record)) {
      shard_.reset();
      continue;
    }
    Raw raw;
    raw.picture.name = shard_->name();
    raw.picture.from_data = true;
    raw.picture.sample = shard_->position() - 1;
    if (options_.own_regions) {
      for (const auto& region : record.regions)
        raw.picture.regions.push_back({region.box, region.text});
    }
    raw.bytes = options_.keep_records ? record.image : std::move(record.image);
    raw.picture.record = std::make_shared<Record>(std::move(record));
    raws.push_back(std::move(raw));
  }
  return raws;
}

void PictureSource::decode(Raw& raw) const {
  auto& picture = raw.picture;
  try {
    DecodeOptions options;
    if (options_.jpeg_draft) options.shrink_to = static_cast<int>(config_.vision.image_size);
    if (!picture.from_data) raw.bytes = read_file(picture.name);
    if (options_.is_known) {
      picture.digest = sha256_hex(raw.bytes);
      picture.known = options_.is_known(picture.digest);
    }
    if (picture.known) {
      raw.bytes = {};
      return;
    }
    Image image = Image::decode(raw.bytes, picture.name, options);
    picture.width = image.full_width();
    picture.height = image.full_height();
    if (picture.regions.empty()) picture.regions = options_.other_regions;
    const ModelInput input = preprocess(image, config_);
    picture.pixels = input.pixels;
    picture.map = input.map;
    if (options_.keep_images) picture.image = std::move(image);
    for (const auto& region : picture.regions)
      picture.canvas_boxes.push_back(clip_to_unit(input.map.to_canvas(region.box)));
  } catch (const Error& error) {  // a broken picture is skipped, counted and named by the caller
    picture.error = error.what();
  }
  raw.bytes = {};
}

}  // namespace opencloc
