#include "opencloc/search/indexer.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>
#include <unordered_set>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/fingerprint.h"
#include "opencloc/search/grid.h"
#include "opencloc/search/picture_files.h"

namespace opencloc {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kBrokenNamed = 1000;
constexpr double kHighestScale = 100;  // the losses' cap
constexpr const char* kCropMethod = "crop";

double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

std::vector<float> row_of(const torch::Tensor& rows, int64_t row) {
  const auto plain = rows.contiguous();
  const float* begin = plain.data_ptr<float>() + row * plain.size(-1);
  return {begin, begin + plain.size(-1)};
}

const torch::Tensor* find(const NamedTensors& tensors, std::string_view name) {
  for (const auto& [key, tensor] : tensors) {
    if (key == name) return &tensor;
  }
  return nullptr;
}

// One run of the indexer.
class Indexer {
 public:
  Indexer(LoadedModel& loaded, const std::string& index, const IndexerOptions& options,
          SkipCounter& skips)
      : loaded_(loaded),
        options_(options),
        skips_(skips),
        store_(open_store_writer(index)),
        writer_(*store_),
        crops_(writer_.info().region_method == kCropMethod),
        embedder_(loaded, encode_options()) {
    for (const int64_t level : writer_.info().grid) {
      is_coarse_.insert(is_coarse_.end(), static_cast<size_t>(level * level),
                        level <= writer_.info().coarse);
    }
  }

  IndexerSummary run() {
    const auto began = Clock::now();
    for (auto& digest : writer_.catalog().digests()) known_.insert(std::move(digest));
    PictureSource source(changed_files(), options_.data, loaded_.model->config(), source_options(),
                         skips_);
    if (options_.begin) options_.begin(source.expected());
    for (auto batch = source.next_batch(); !batch.empty(); batch = source.next_batch()) {
      add(batch);
      if (options_.progress) options_.progress(static_cast<int64_t>(batch.size()));
    }
    commit();
    summary_.off_canvas = embedder_.skipped_regions();
    summary_.seconds = seconds_since(began);
    return summary_;
  }

 private:
  EmbedderOptions encode_options() const {
    EmbedderOptions encode = options_.encode;
    encode.crop_regions = crops_;
    encode.workers = options_.workers;
    return encode;
  }

  PictureSourceOptions source_options() {
    PictureSourceOptions source;
    source.batch_size = options_.encode.batch_size;
    source.workers = options_.workers;
    source.skip_bad_shards = options_.skip_bad_shards;
    source.count_samples = true;
    source.keep_images = crops_ || options_.find_boxes;
    const IndexInfo& info = writer_.info();
    source.own_regions = info.regions == "labels" || info.regions == "both";
    source.beside_own = info.regions == "both";
    if (info.regions != "none") {
      for (const Box& box : grid_boxes(info.grid)) source.other_regions.push_back({box, {}});
    }
    source.is_known = [this](const std::string& digest) { return known_.contains(digest); };
    return source;
  }

  // Without those that are there by name, size and time.
  std::vector<PictureFile> changed_files() {
    std::vector<PictureFile> files;
    for (PictureFile& file : picture_files(options_.images, options_.with_boxes)) {
      const FileState now = state_of(file.path);
      const auto there = writer_.catalog().find_name(file.path);
      if (there && there->bytes == now.bytes && there->modified_ns == now.modified_ns) {
        ++summary_.unchanged;
      } else {
        files.push_back(std::move(file));
      }
    }
    return files;
  }

  PictureName name_of(const SourcePicture& picture) {
    PictureName name;
    name.name = picture.name;
    name.sample = picture.sample;
    if (picture.from_data) {
      const size_t key = end_of_shard(picture.name);
      name.name = absolute_name(picture.name.substr(0, key)) + picture.name.substr(key);
    }
    const std::string file = file_of(name);
    auto at = states_.find(file);
    if (at == states_.end()) {
      if (states_.size() > 1000) states_.clear();
      at = states_.emplace(file, state_of(file)).first;
    }
    name.bytes = at->second.bytes;
    name.modified_ns = at->second.modified_ns;
    return name;
  }

  void add(std::vector<SourcePicture>& batch) {
    std::vector<SourcePicture> fresh;
    std::unordered_set<std::string> in_batch;
    for (SourcePicture& picture : batch) {
      if (picture.known || writer_.has(picture.digest)) {
        add_name(picture);
      } else if (!picture.pixels.defined()) {
        skips_.add(skip::kBadImage, picture.name, picture.error);
        ++summary_.broken;
        if (summary_.broken_names.size() < kBrokenNamed)
          summary_.broken_names.push_back(picture.error);
      } else if (in_batch.insert(picture.digest).second) {
        fresh.push_back(std::move(picture));
      } else {
        twins_.push_back(std::move(picture));
      }
    }
    if (!fresh.empty()) {
      if (options_.find_boxes) find_boxes(fresh);
      embedder_.add_pictures(fresh);
      const auto features = embedder_.take_features(static_cast<int64_t>(fresh.size()));
      const auto began = Clock::now();
      for (size_t i = 0; i < fresh.size(); ++i) add_picture(fresh[i], features[i]);
      summary_.writing_seconds += seconds_since(began);
    }
    for (const SourcePicture& picture : twins_) add_name(picture);
    twins_.clear();
    if (writer_.pending() >= options_.commit_every) commit();
  }

  // A name of content that is there; the same name again is nothing new.
  void add_name(const SourcePicture& picture) {
    const auto began = Clock::now();
    const PictureName name = name_of(picture);
    const auto there = writer_.catalog().find_name(name.name);
    const auto same = writer_.catalog().picture_of_digest(picture.digest);
    if (there && same && there->picture == *same) {
      ++summary_.unchanged;
    } else {
      ++summary_.aliases;
    }
    writer_.add_name(name, picture.digest);
    summary_.writing_seconds += seconds_since(began);
  }

  // The detector's boxes join the pictures' own, and stand in place of the grid unless it is wanted
  // beside them.
  void find_boxes(std::vector<SourcePicture>& pictures) {
    std::vector<const Image*> images;
    for (const SourcePicture& picture : pictures) images.push_back(&picture.image);
    const auto found = options_.find_boxes(images);
    for (size_t i = 0; i < pictures.size(); ++i) {
      SourcePicture& picture = pictures[i];
      summary_.detected += static_cast<int64_t>(found[i].size());
      if (found[i].empty()) continue;
      auto& regions = picture.regions;
      auto grid = regions.begin() + static_cast<std::ptrdiff_t>(picture.own_regions);
      if (writer_.info().regions != "both") grid = regions.erase(grid, regions.end());
      regions.insert(grid, found[i].begin(), found[i].end());
      picture.own_regions += found[i].size();
      picture.canvas_boxes.clear();
      for (const SourceRegion& region : regions)
        picture.canvas_boxes.push_back(clip_to_unit(picture.map.to_canvas(region.box)));
    }
  }

  void add_picture(const SourcePicture& source, const NamedTensors& features) {
    NewPicture picture;
    picture.name = name_of(source);
    picture.digest = source.digest;
    picture.width = source.width;
    picture.height = source.height;
    if (source.record) picture.caption = image_text(*source.record);
    picture.vector = row_of(*find(features, "image_embeds"), 0);
    std::vector<size_t> places;  // of its regions in the source's
    if (const auto* regions = find(features, "region_embeds")) {
      const auto number = find(features, "region_index")->contiguous();  // [r]
      const auto* quality = find(features, "region_quality");            // [r]
      for (int64_t row = 0; row < regions->size(0); ++row) {
        const auto at = static_cast<size_t>(number.data_ptr<int64_t>()[row]);
        places.push_back(at);
        picture.regions.push_back(
            {source.regions[at].box, source.regions[at].text, row_of(*regions, row)});
        if (quality != nullptr) picture.regions.back().quality = (*quality)[row].item<float>();
      }
    }
    if (writer_.info().keep > 0) keep_best(picture.regions, places, source.own_regions);
    writer_.add(picture);
    ++summary_.added;
    summary_.vectors += static_cast<int64_t>(picture.regions.size()) + 1;
  }

  // Of the grid's boxes, those from `own` on, only the ones that hold something best, and its
  // coarse levels. `places` are of `regions` among all that were wanted.
  void keep_best(std::vector<NewRegion>& regions, const std::vector<size_t>& places,
                 size_t own) const {
    std::vector<Box> boxes;
    std::vector<float> qualities;
    std::vector<size_t> chosen_from;
    for (size_t i = 0; i < regions.size(); ++i) {
      if (places[i] < own || is_coarse_[places[i] - own]) continue;
      chosen_from.push_back(i);
      boxes.push_back(regions[i].box);
      qualities.push_back(regions[i].quality.value_or(0));
    }
    std::vector<bool> leaves(regions.size(), false);
    for (const size_t i : chosen_from) leaves[i] = true;
    for (const size_t k : best_boxes(boxes, qualities, static_cast<size_t>(writer_.info().keep)))
      leaves[chosen_from[k]] = false;
    std::vector<NewRegion> kept;
    for (size_t i = 0; i < regions.size(); ++i) {
      if (!leaves[i]) kept.push_back(std::move(regions[i]));
    }
    regions = std::move(kept);
  }

  void commit() {
    const auto began = Clock::now();
    writer_.commit();
    summary_.writing_seconds += seconds_since(began);
  }

  LoadedModel& loaded_;
  const IndexerOptions& options_;
  SkipCounter& skips_;
  const std::unique_ptr<IndexStoreWriter> store_;
  IndexStoreWriter& writer_;
  const bool crops_;             // regions are cut out and encoded as pictures of their own
  std::vector<bool> is_coarse_;  // of the grid's boxes: kept whatever their quality
  Embedder embedder_;
  std::unordered_set<std::string> known_;  // does not change while pictures are read
  std::vector<SourcePicture> twins_;       // of the batch: the same content again
  std::unordered_map<std::string, FileState> states_;
  IndexerSummary summary_;
};

}  // namespace

Json IndexerSummary::json() const {
  Json json;
  json["added"] = added;
  json["vectors"] = vectors;
  json["aliases"] = aliases;
  json["unchanged"] = unchanged;
  json["broken"] = broken;
  json["broken_names"] = broken_names;
  json["regions_off_canvas"] = off_canvas;
  json["detected"] = detected;
  json["seconds"] = seconds;
  json["writing_seconds"] = writing_seconds;
  return json;
}

void require_model(const IndexInfo& info, const std::string& fingerprint, const std::string& model,
                   const std::string& index) {
  if (info.fingerprint == fingerprint) return;
  if (info.fingerprint.empty()) {
    throw Error::input("the index does not say which model its vectors are from", index,
                       "import them again with the setting 'model'");
  }
  throw Error::input("the index holds vectors of the model " + info.model + " (fingerprint " +
                         info.fingerprint + "), not of " + model + " (" + fingerprint + ")",
                     index, "use that model, or make another index");
}

IndexerSummary index_pictures(LoadedModel& loaded, const std::string& index, const IndexInfo& made,
                              const IndexerOptions& options, SkipCounter& skips) {
  const std::string fingerprint = model_fingerprint(loaded.model, loaded.tokenizer.get());
  if (!store_exists(index)) {
    IndexInfo info = made;
    info.width = loaded.model->config().embed_dim;
    info.fingerprint = fingerprint;
    if (info.regions == "none") info.region_method.clear();
    if (info.regions != "none" && info.region_method != kCropMethod)
      info.region_method = Embedder(loaded, options.encode).region_method();
    if (info.keep > 0 && (!loaded.model->quality_head || info.region_method == kCropMethod)) {
      throw Error::input("the model does not say how well boxes hold objects", "setting 'keep'",
                         "leave it out, or train the model with the setting 'quality_weight'");
    }
    if (loaded.model->quality_head) {
      info.inverse_temperature =
          std::min(kHighestScale, loaded.model->region_logit_scale.exp().item<double>());
    }
    create_store(index, info);
  }
  const IndexInfo there = read_store_info(index);
  require_model(there, fingerprint, made.model, shown_place(index));
  if (options.find_boxes && (there.regions == "grid" || there.regions == "none")) {
    throw Error::input("a detector's boxes have no place in an index of --regions " + there.regions,
                       shown_place(index), "leave the detector out, or make another index");
  }
  return Indexer(loaded, index, options, skips).run();
}

}  // namespace opencloc
