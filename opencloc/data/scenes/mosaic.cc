#include "opencloc/data/scenes/mosaic.h"

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <numeric>
#include <optional>
#include <unordered_set>
#include <utility>

#include "opencloc/base/rng.h"
#include "opencloc/data/load/ordered.h"
#include "opencloc/image/augment.h"
#include "opencloc/image/encode.h"

namespace opencloc {
namespace {

// Of samples for one tile, before the data is taken to hold no good one.
constexpr int kMostAttempts = 1000;

// All samples of all shards, read by number from any thread.
class Samples {
 public:
  Samples(const std::vector<std::string>& shards, const ShardOptions& options, SkipCounter& skips) {
    for (const auto& path : shards) {
      files_.emplace_back(path, skips, options);
      ends_.push_back(size() + files_.back().samples());
    }
    if (size() == 0) {
      throw Error::input("no samples", shards.empty() ? "setting 'data'" : shards.front(),
                         "check the setting 'data'");
    }
  }

  int64_t size() const { return ends_.empty() ? 0 : ends_.back(); }
  Record read(int64_t i) const {
    const auto shard = std::upper_bound(ends_.begin(), ends_.end(), i) - ends_.begin();
    const int64_t first = shard == 0 ? 0 : ends_[static_cast<size_t>(shard) - 1];
    return files_[static_cast<size_t>(shard)].read(i - first);
  }

 private:
  std::vector<ShardFile> files_;
  std::vector<int64_t> ends_;
};

struct Tile {
  Record record;
  Image image;
};

// Reads samples; a broken one is counted once, however often it is drawn.
class TileReader {
 public:
  TileReader(const Samples& samples, SkipCounter& skips) : samples_(samples), skips_(skips) {}

  std::optional<Tile> read(int64_t sample) {
    std::string name = "sample " + std::to_string(sample);
    try {
      Record record = samples_.read(sample);
      name = record.key;
      if (!record.problems.empty() && is_new(sample)) {
        for (const auto& problem : record.problems)
          skips_.add(problem.reason, name, problem.detail);
      }
      Image image = Image::decode(record.image, record.key);
      return Tile{std::move(record), std::move(image)};
    } catch (const BadSample& bad) {
      if (is_new(sample)) skips_.add(bad);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kFailed) throw;
      if (is_new(sample)) skips_.add(skip::kBadImage, name, error.what());
    }
    return std::nullopt;
  }

 private:
  bool is_new(int64_t sample) {
    const std::lock_guard lock(mutex_);
    return bad_.insert(sample).second;
  }
  const Samples& samples_;
  SkipCounter& skips_;
  std::mutex mutex_;
  std::unordered_set<int64_t> bad_;
};

// Draw number `draw` of an endless sequence of shuffled passes over the samples.
class Passes {
 public:
  Passes(int64_t samples, uint64_t seed) : order_(static_cast<size_t>(samples)), seed_(seed) {}

  // `draw` must not go back to an earlier pass.
  int64_t operator()(int64_t draw) {
    const auto count = static_cast<int64_t>(order_.size());
    const int64_t pass = draw / count;
    if (pass != pass_) {
      std::iota(order_.begin(), order_.end(), int64_t{0});
      Rng(seed_, {static_cast<uint64_t>(pass)}).shuffle(order_);
      pass_ = pass;
    }
    return order_[static_cast<size_t>(draw % count)];
  }

 private:
  std::vector<int64_t> order_;
  uint64_t seed_;
  int64_t pass_ = -1;
};

std::string tile_text(const Record& record) {
  return record.label ? *record.label : std::string(image_text(record));
}

void add_regions(const Record& record, const Mosaic& mosaic, size_t index,
                 const MosaicOptions& options, Record& out) {
  std::vector<Box> boxes;
  for (const auto& region : record.regions) boxes.push_back(region.box);
  const bool has_moved = options.regions != MosaicRegions::kTiles && !boxes.empty();
  if (has_moved) {
    const MappedBoxes moved = map_tile_boxes(boxes, mosaic, index);
    for (size_t i = 0; i < moved.boxes.size(); ++i) {
      Region region = record.regions[static_cast<size_t>(moved.source[i])];
      region.box = moved.boxes[i];
      out.regions.push_back(std::move(region));
    }
  }
  const bool whole = options.regions != MosaicRegions::kMoved || boxes.empty();
  if (const std::string text = tile_text(record); whole && !text.empty()) {
    Region region;
    region.box = mosaic.tiles[index].area;
    region.text = text;
    region.source = "mosaic";
    out.regions.push_back(std::move(region));
  }
}

// The drawn sample, or one drawn at random in place of a broken one.
Tile read_tile(TileReader& reader, int64_t drawn, int64_t samples, Rng rng) {
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    if (auto tile = reader.read(drawn)) return std::move(*tile);
    drawn = static_cast<int64_t>(rng.below(static_cast<uint64_t>(samples)));
  }
  throw Error::input("no usable sample among " + std::to_string(kMostAttempts) + " drawn",
                     "setting 'data'", "check the data with 'opencloc data stats'");
}

Record make_one(TileReader& reader, int64_t samples, const std::vector<int64_t>& drawn,
                int64_t number, const MosaicOptions& options) {
  std::vector<Tile> tiles;
  std::vector<const Image*> images;
  for (size_t t = 0; t < drawn.size(); ++t) {
    const Rng rng(options.seed, {static_cast<uint64_t>(number), t});
    tiles.push_back(read_tile(reader, drawn[t], samples, rng));
  }
  for (const auto& tile : tiles) images.push_back(&tile.image);
  const CanvasOptions canvas{.width = options.size, .height = options.size, .rule = options.fit};
  Rng cuts(options.seed, {static_cast<uint64_t>(number), drawn.size()});  // behind the tiles'
  const Mosaic mosaic =
      options.least_tile > 0
          ? make_mosaic(images, free_cuts(options.grid, canvas, options.least_tile, cuts), canvas)
          : make_mosaic(images, options.grid, canvas);
  Record out;
  char key[24];
  std::snprintf(key, sizeof key, "%09lld", static_cast<long long>(number));
  out.key = key;
  out.extension = "jpg";
  out.image = encode_jpeg(mosaic.image, options.quality);
  std::vector<std::string> captions;
  Json& keys = out.extra["tiles"] = Json::array();
  for (size_t t = 0; t < tiles.size(); ++t) {
    captions.emplace_back(image_text(tiles[t].record));
    keys.push_back(tiles[t].record.key);
    add_regions(tiles[t].record, mosaic, t, options, out);
  }
  out.caption = join_captions(captions);
  return out;
}

}  // namespace

std::string join_captions(const std::vector<std::string>& captions) {
  std::string joined;
  for (std::string_view caption : captions) {
    while (!caption.empty() && std::string_view(" .,;").find(caption.back()) != std::string::npos) {
      caption.remove_suffix(1);
    }
    if (caption.empty()) continue;
    if (!joined.empty()) joined += ", ";
    joined += caption;
  }
  return joined;
}

void make_mosaics(const std::vector<std::string>& shards, const MosaicOptions& options,
                  ShardSetWriter& out, SkipCounter& skips) {
  const int tiles = options.grid * options.grid;
  if (!(options.least_tile >= 0 && options.least_tile <= 1)) {
    throw Error::input("the least tile is no share of an even one", "setting 'least_tile'",
                       "give 0 to 1");
  }
  if (options.grid < 1 || options.size < options.grid || options.count < 0) {
    throw Error::input("a mosaic of this shape cannot be made",
                       "settings 'grid=" + std::to_string(options.grid) +
                           "' and 'size=" + std::to_string(options.size) + "'",
                       "use at least one tile of one pixel");
  }
  const Samples samples(shards, options.shards, skips);
  TileReader reader(samples, skips);
  Passes passes(samples.size(), options.seed);
  std::vector<std::vector<int64_t>> drawn(static_cast<size_t>(options.count));
  for (int64_t i = 0; i < options.count * tiles; ++i) {
    drawn[static_cast<size_t>(i / tiles)].push_back(passes(i));
  }
  produce_in_order(
      options.count, options.threads,
      [&](int64_t i) {
        return make_one(reader, samples.size(), drawn[static_cast<size_t>(i)], i, options);
      },
      [&](Record&& record) {
        out.write(record);
        if (options.progress) options.progress();
      });
}

}  // namespace opencloc
