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
    : config_(config),
      options_(options),
      skips_(skips),
      files_(std::move(files)),
      next_batch_(options.deal.first) {
  reading_.hold();
  for (const auto& file : files_) {
    if (!std::filesystem::exists(file.path))
      throw Error::input("no such picture", file.path, "check the path");
  }
  if (!data_glob.empty()) {
    SkipCounter counted_by_another(0);
    shards_ = find_shards(data_glob, {.skip_bad_shards = options_.skip_bad_shards},
                          options_.deal.first == 0 ? skips_ : counted_by_another);
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

PictureBatch PictureSource::next() {
  if (ended_) return {{}, {}, true};
  if (!ahead_.valid()) ahead_ = in_background([this] { return load_batch(); });
  PictureBatch batch = ahead_.get();
  ended_ = batch.last;
  if (!ended_) ahead_ = in_background([this] { return load_batch(); });
  return batch;
}

std::vector<SourcePicture> PictureSource::next_batch() {
  while (!ended_) {
    PictureBatch batch = next();
    for (auto& one : batch.skipped) skips_.add(std::move(one));
    if (!batch.pictures.empty()) return std::move(batch.pictures);
  }
  return {};
}

PictureBatch PictureSource::load_batch() {
  PictureBatch batch;
  auto raws = read_batch();
  batch.skipped = reading_.take();
  batch.last = !shard_ && next_shard_ == shards_.size() &&
               next_input_ >= static_cast<int64_t>(files_.size());
  parallel_for(static_cast<int64_t>(raws.size()), options_.workers,
               [&](int64_t i) { decode(raws[static_cast<size_t>(i)]); });
  batch.pictures.reserve(raws.size());
  for (auto& raw : raws) batch.pictures.push_back(std::move(raw.picture));
  return batch;
}

// The next shard is open, or there is none.
bool PictureSource::open_shard() {
  if (shard_) return true;
  if (next_shard_ == shards_.size()) return false;
  ShardOptions options;
  options.skip_bad_shards = options_.skip_bad_shards;
  options.keep_other_members = options_.keep_records;
  shard_begin_ = next_input_;
  shard_ = std::make_unique<ShardReader>(shards_[next_shard_++], reading_, options);
  return true;
}

// Batches of other processes lie before `input`; what is wrong there is for them to count.
void PictureSource::pass_to(int64_t input) {
  const auto files = static_cast<int64_t>(files_.size());
  if (next_input_ < files) next_input_ = std::min(input, files);
  while (next_input_ < input && open_shard()) {
    shard_->skip(input - next_input_);
    next_input_ = shard_begin_ + shard_->position();
    if (next_input_ < input) shard_.reset();
  }
  reading_.take();
}

// False where there is no good sample before input `end` in the open shard.
bool PictureSource::read_sample(Raw& raw, int64_t end) {
  Record record;
  const bool good = shard_->next(record, end - shard_begin_);
  next_input_ = shard_begin_ + shard_->position();
  if (!good) {
    if (next_input_ < end) shard_.reset();
    return false;
  }
  raw.picture.name = shard_->name();
  raw.picture.from_data = true;
  raw.picture.sample = shard_->position() - 1;
  if (options_.own_regions) {
    for (const auto& region : record.regions)
      raw.picture.regions.push_back({region.box, region.text});
  }
  raw.bytes = options_.keep_records ? record.image : std::move(record.image);
  raw.picture.record = std::make_shared<Record>(std::move(record));
  return true;
}

std::vector<PictureSource::Raw> PictureSource::read_batch() {
  const int64_t begin = next_batch_ * options_.batch_size, end = begin + options_.batch_size;
  next_batch_ += options_.deal.every;
  pass_to(begin);
  std::vector<Raw> raws;
  while (next_input_ < end) {
    Raw raw;
    if (next_input_ < static_cast<int64_t>(files_.size())) {
      auto& file = files_[static_cast<size_t>(next_input_++)];
      raw.picture.name = file.path;
      if (options_.own_regions) raw.picture.regions = std::move(file.regions);
    } else if (!open_shard()) {
      break;
    } else if (!read_sample(raw, end)) {
      continue;
    }
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
    picture.own_regions = picture.regions.size();
    if (picture.regions.empty() || options_.beside_own) {
      picture.regions.insert(picture.regions.end(), options_.other_regions.begin(),
                             options_.other_regions.end());
    }
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
