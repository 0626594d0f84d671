#include "opencloc/cli/embed_inputs.h"

#include <filesystem>
#include <unordered_map>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/text_file.h"
#include "opencloc/base/threads.h"
#include "opencloc/data/find_shards.h"
#include "opencloc/image/image.h"
#include "opencloc/model/preprocess.h"

namespace opencloc::cli {
namespace {

Box box_of(const Json& line, const std::string& where) {
  const Json& numbers = json_at(line, "box", where);
  Box box;
  float* const sides[] = {&box.x0, &box.y0, &box.x1, &box.y1};
  const bool four = numbers.is_array() && numbers.size() == 4;
  for (size_t i = 0; i < 4; ++i) {
    if (!four || !numbers[i].is_number()) {
      throw Error::input("box is not four numbers", where,
                         "write [x0, y0, x1, y1] in [0, 1] of the picture");
    }
    *sides[i] = numbers[i].get<float>();
  }
  const Box clipped = clip_to_unit(box);
  if (!box.finite() || clipped.area() <= 0) {
    throw Error::input("box has no area inside the picture", where,
                       "write [x0, y0, x1, y1] in [0, 1] of the picture, x0 < x1 and y0 < y1");
  }
  return clipped;
}

}  // namespace

std::vector<std::string> read_lines(const std::string& path) { return read_text_lines(path); }

void add_boxes(const std::string& path, std::vector<PictureFile>& files) {
  std::unordered_map<std::string, size_t> place;
  for (size_t i = 0; i < files.size(); ++i) place.emplace(files[i].path, i);
  int64_t number = 0;
  for (const auto& text : read_lines(path)) {
    const std::string where = path + ":" + std::to_string(++number);
    if (text.find_first_not_of(" \t") == std::string::npos) continue;
    const Json line = parse_json(text, where);
    const std::string image = json_string(line, "image", where, "");
    if (image.empty()) {
      throw Error::input("no picture is named", where,
                         "write {\"image\": PATH, \"box\": [x0, y0, x1, y1]}");
    }
    const auto [found, added] = place.emplace(image, files.size());
    if (added) files.push_back({image, {}});
    files[found->second].regions.push_back(
        {box_of(line, where), json_string(line, "text", where, "")});
  }
}

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
}

PictureSource::~PictureSource() = default;  // waits for the batch that is loaded ahead

int64_t PictureSource::expected() const {
  return shards_.empty() ? static_cast<int64_t>(files_.size()) : 0;
}

std::vector<EmbedPicture> PictureSource::next_batch() {
  if (!ahead_.valid()) ahead_ = in_background([this] { return load_batch(); });
  auto batch = ahead_.get();
  if (!batch.empty()) ahead_ = in_background([this] { return load_batch(); });
  return batch;
}

std::vector<EmbedPicture> PictureSource::load_batch() {
  auto raws = read_batch();
  parallel_for(static_cast<int64_t>(raws.size()), options_.workers,
               [&](int64_t i) { decode(raws[static_cast<size_t>(i)]); });
  std::vector<EmbedPicture> pictures;
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
    raw.picture.regions = std::move(file.regions);
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
    if (options_.keep_records) raw.picture.record = std::make_shared<Record>(record);
    raw.picture.text = std::string(image_text(record));
    for (auto& region : record.regions)
      raw.picture.regions.push_back({region.box, std::move(region.text)});
    raw.bytes = std::move(record.image);
    raws.push_back(std::move(raw));
  }
  return raws;
}

void PictureSource::decode(Raw& raw) const {
  auto& picture = raw.picture;
  try {
    DecodeOptions options;
    if (options_.jpeg_draft) options.shrink_to = static_cast<int>(config_.vision.image_size);
    const Image image = picture.from_data ? Image::decode(raw.bytes, picture.name, options)
                                          : Image::read(picture.name, options);
    const ModelInput input = preprocess(image, config_);
    picture.pixels = input.pixels;
    for (const auto& region : picture.regions)
      picture.canvas_boxes.push_back(clip_to_unit(input.map.to_canvas(region.box)));
  } catch (const Error& error) {  // a broken picture is skipped, counted and named by the caller
    picture.error = error.what();
  }
  raw.bytes = {};
}

}  // namespace opencloc::cli
