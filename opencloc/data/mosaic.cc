#include "opencloc/data/mosaic.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "opencloc/base/rng.h"
#include "opencloc/data/ordered.h"
#include "opencloc/image/augment.h"
#include "opencloc/image/encode.h"

namespace opencloc {
namespace {

// All samples of all shards, read by number from any thread.
class Samples {
 public:
  Samples(const std::vector<std::string>& shards, const ShardOptions& options, SkipCounter& skips) {
    for (const auto& path : shards) {
      files_.emplace_back(path, skips, options);
      ends_.push_back(size() + files_.back().samples());
    }
    if (size() == 0) {
      throw Error::input("no samples", shards.empty() ? "--data" : shards.front(), "check --data");
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

// Reads and decodes every sample once, and keeps the numbers of the good ones.
std::vector<int64_t> usable_samples(const Samples& samples, int threads, SkipCounter& skips) {
  std::vector<int64_t> good;
  produce_in_order(
      samples.size(), threads,
      [&](int64_t i) {
        try {
          const Record record = samples.read(i);
          if (const ImageInfo info = probe_image(record.image); !info.ok) {
            throw BadSample(skip::kBadImage, info.error, record.key);
          }
          return i;
        } catch (const BadSample& bad) {
          skips.add(bad);
          return int64_t{-1};
        }
      },
      [&good](int64_t i) {
        if (i >= 0) good.push_back(i);
      });
  return good;
}

// Draw number `draw` of an endless sequence of shuffled passes over `items`.
class Passes {
 public:
  Passes(std::vector<int64_t> items, uint64_t seed) : items_(std::move(items)), seed_(seed) {}

  // `draw` must not go back to an earlier pass.
  int64_t operator()(int64_t draw) {
    const auto count = static_cast<int64_t>(items_.size());
    const int64_t pass = draw / count;
    if (pass != pass_) {
      order_ = items_;
      Rng(seed_, {static_cast<uint64_t>(pass)}).shuffle(order_);
      pass_ = pass;
    }
    return order_[static_cast<size_t>(draw % count)];
  }

 private:
  std::vector<int64_t> items_;
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

Record make_one(const Samples& samples, const std::vector<int64_t>& chosen, int64_t number,
                const MosaicOptions& options) {
  std::vector<Tile> tiles;
  std::vector<const Image*> images;
  for (const int64_t i : chosen) {
    Record record = samples.read(i);
    Image image = Image::decode(record.image, record.key);
    tiles.push_back({std::move(record), std::move(image)});
  }
  for (const auto& tile : tiles) images.push_back(&tile.image);
  const Mosaic mosaic = make_mosaic(
      images, options.grid, {.width = options.size, .height = options.size, .rule = options.fit});
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
  if (options.grid < 1 || options.size < options.grid || options.count < 0) {
    throw Error::input(
        "a mosaic of this shape cannot be made",
        "--grid " + std::to_string(options.grid) + " --size " + std::to_string(options.size),
        "use at least one tile of one pixel");
  }
  const Samples samples(shards, options.shards, skips);
  const auto good = usable_samples(samples, options.threads, skips);
  if (good.empty()) {
    throw Error::input("no sample can be used: " + skips.summary(), shards.front(), "check --data");
  }
  Passes passes(good, options.seed);
  std::vector<std::vector<int64_t>> chosen(static_cast<size_t>(options.count));
  for (int64_t i = 0; i < options.count * tiles; ++i) {
    chosen[static_cast<size_t>(i / tiles)].push_back(passes(i));
  }
  produce_in_order(
      options.count, options.threads,
      [&](int64_t i) { return make_one(samples, chosen[static_cast<size_t>(i)], i, options); },
      [&](Record&& record) {
        out.write(record);
        if (options.progress) options.progress();
      });
}

}  // namespace opencloc
