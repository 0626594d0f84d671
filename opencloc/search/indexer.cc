#include "opencloc/search/indexer.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include <sys/stat.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/fingerprint.h"
#include "opencloc/data/import/picture_finder.h"
#include "opencloc/data/remote/remote_names.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr size_t kBrokenNamed = 1000;
constexpr double kHighestScale = 100;  // the losses' cap
constexpr const char* kCropMethod = "crop";
constexpr float kKeptOverlap = 0.5f;  // IoU up to which two boxes are both kept

double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

std::string absolute_name(const std::string& path) {
  return is_remote(path) ? path : fs::absolute(path).lexically_normal().string();
}

// Size and time of a file; zeros where there is none to look at.
struct FileState {
  int64_t bytes = 0, modified_ns = 0;
};
FileState state_of(const std::string& path) {
  struct stat info {};
  if (is_remote(path) || ::stat(path.c_str(), &info) != 0) return {};
  return {info.st_size, int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

// Where the '#' of "shard.tar#key" stands: a folder and a key may have one, too.
size_t end_of_shard(const std::string& name) {
  for (const std::string_view ending : {".tar#", ".tar.gz#", ".tar.zst#"}) {
    const size_t at = name.find(ending);
    if (at != name.npos) return at + ending.size() - 1;
  }
  return name.rfind('#');
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

// Files as they were asked for, each once, with the regions that are wanted of them.
std::vector<PictureFile> files_of(const IndexerOptions& options) {
  std::vector<PictureFile> files;
  std::unordered_map<std::string, size_t> place;
  const auto add = [&](const std::string& path, const std::vector<SourceRegion>& regions) {
    const std::string name = absolute_name(path);
    const auto [at, is_new] = place.emplace(name, files.size());
    if (is_new) files.push_back({name, {}});
    auto& own = files[at->second].regions;
    own.insert(own.end(), regions.begin(), regions.end());
  };
  for (const auto& path : options.images) {
    if (!fs::is_directory(path)) {
      add(path, {});
      continue;
    }
    std::vector<std::string> below;
    for_each_file_below(path, [&](const fs::path& file) {
      if (is_picture_extension(lower_extension(file))) below.push_back(file.string());
    });
    std::sort(below.begin(), below.end());
    for (const auto& file : below) add(file, {});
  }
  for (const PictureFile& file : options.with_boxes) add(file.path, file.regions);
  return files;
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
        embedder_(loaded, encode_options()) {}

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
    source.keep_images = crops_;
    const IndexInfo& info = writer_.info();
    source.own_regions = info.regions == "labels";
    if (info.regions != "none") {
      for (const Box& box : grid_boxes(info.grid)) source.other_regions.push_back({box, {}});
    }
    source.is_known = [this](const std::string& digest) { return known_.contains(digest); };
    return source;
  }

  // Without those that are there by name, size and time.
  std::vector<PictureFile> changed_files() {
    std::vector<PictureFile> files;
    for (PictureFile& file : files_of(options_)) {
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

  void add_picture(const SourcePicture& source, const NamedTensors& features) {
    NewPicture picture;
    picture.name = name_of(source);
    picture.digest = source.digest;
    picture.width = source.width;
    picture.height = source.height;
    if (source.record) picture.caption = image_text(*source.record);
    picture.vector = row_of(*find(features, "image_embeds"), 0);
    if (const auto* regions = find(features, "region_embeds")) {
      const auto number = find(features, "region_index")->contiguous();  // [r]
      const auto* quality = find(features, "region_quality");            // [r]
      for (int64_t row = 0; row < regions->size(0); ++row) {
        const auto at = static_cast<size_t>(number.data_ptr<int64_t>()[row]);
        picture.regions.push_back(
            {source.regions[at].box, source.regions[at].text, row_of(*regions, row)});
        if (quality != nullptr) picture.regions.back().quality = (*quality)[row].item<float>();
      }
    }
    if (source.has_other_regions) keep_best(picture.regions);
    writer_.add(picture);
    ++summary_.added;
    summary_.vectors += static_cast<int64_t>(picture.regions.size()) + 1;
  }

  // Of the grid's boxes those that hold something best, where the index is made so.
  void keep_best(std::vector<NewRegion>& regions) const {
    const auto keep = static_cast<size_t>(writer_.info().keep);
    if (keep == 0 || regions.size() <= keep) return;
    std::vector<Box> boxes;
    std::vector<float> qualities;
    for (const NewRegion& region : regions) {
      boxes.push_back(region.box);
      qualities.push_back(region.quality.value_or(0));
    }
    std::vector<NewRegion> kept;
    for (const size_t i : best_boxes(boxes, qualities, keep)) kept.push_back(std::move(regions[i]));
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
  const bool crops_;  // regions are cut out and encoded as pictures of their own
  Embedder embedder_;
  std::unordered_set<std::string> known_;  // does not change while pictures are read
  std::vector<SourcePicture> twins_;       // of the batch: the same content again
  std::unordered_map<std::string, FileState> states_;
  IndexerSummary summary_;
};

}  // namespace

std::vector<Box> grid_boxes(const std::vector<int64_t>& levels) {
  std::vector<Box> boxes;
  for (const int64_t n : levels) {
    const float step = 1.0f / static_cast<float>(n + 1);  // half a box
    for (int64_t y = 0; y < n; ++y) {
      for (int64_t x = 0; x < n; ++x) {
        const auto fx = static_cast<float>(x) * step, fy = static_cast<float>(y) * step;
        boxes.push_back({fx, fy, std::min(1.0f, fx + 2 * step), std::min(1.0f, fy + 2 * step)});
      }
    }
  }
  return boxes;
}

std::vector<size_t> best_boxes(const std::vector<Box>& boxes, const std::vector<float>& qualities,
                               size_t keep) {
  std::vector<size_t> order(boxes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return qualities[a] > qualities[b]; });
  std::vector<size_t> kept, rest;
  for (const size_t i : order) {
    const bool apart = std::all_of(kept.begin(), kept.end(), [&](size_t better) {
      return iou(boxes[i], boxes[better]) <= kKeptOverlap;
    });
    (apart ? kept : rest).push_back(i);
  }
  kept.insert(kept.end(), rest.begin(), rest.end());
  kept.resize(std::min(kept.size(), keep));
  std::sort(kept.begin(), kept.end());
  return kept;
}

Json IndexerSummary::json() const {
  Json json;
  json["added"] = added;
  json["vectors"] = vectors;
  json["aliases"] = aliases;
  json["unchanged"] = unchanged;
  json["broken"] = broken;
  json["broken_names"] = broken_names;
  json["regions_off_canvas"] = off_canvas;
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
  require_model(read_store_info(index), fingerprint, made.model, shown_place(index));
  return Indexer(loaded, index, options, skips).run();
}

std::string file_of(const PictureName& name) {
  if (name.sample < 0) return name.name;
  return name.name.substr(0, end_of_shard(name.name));
}

std::vector<std::string> missing_names(PictureCatalog& catalog) {
  std::map<std::string, bool> there;  // each shard is looked for once
  std::vector<std::string> missing;
  for (const PictureName& name : catalog.names()) {
    const std::string file = file_of(name);
    const auto [at, is_new] = there.emplace(file, true);
    if (is_new) at->second = is_remote(file) || fs::exists(file);
    if (!at->second) missing.push_back(name.name);
  }
  return missing;
}

}  // namespace opencloc
