// G x G mosaics of existing samples: many objects a picture, so that a region's place matters, from
// data that has one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/image/canvas.h"

namespace opencloc {

// What a mosaic's regions are.
enum class MosaicRegions {
  kMoved,  // the samples' own regions, moved along; a sample without any gives its whole tile
  kTiles,  // the whole tiles, with the samples' labels (else texts)
  kBoth,   // the moved regions and the whole tiles
};

struct MosaicOptions {
  int grid = 2;
  // Above 0: free cuts, tiles at least so high and wide, as a share of an even tile; 0: even tiles.
  double least_tile = 0;
  int64_t count = 0;
  int size = 256;                          // pixels a side
  CanvasRule fit = CanvasRule::kShortest;  // how a picture fills its tile
  MosaicRegions regions = MosaicRegions::kMoved;
  uint64_t seed = 0;
  int quality = 95;  // of the JPEG
  int threads = 1;
  ShardOptions shards = {};
  std::function<void()> progress = {};  // called once a mosaic
};

// Every sample is used once before any is used twice, in an order that the seed shuffles. Broken
// samples are counted and replaced by others. The records: key = nine digits; caption = the
// samples' texts joined; extra {"tiles": [their keys]}. They depend on the options and the data,
// not on `threads`. Error (input) when no sample can be used.
void make_mosaics(const std::vector<std::string>& shards, const MosaicOptions& options,
                  ShardSetWriter& out, SkipCounter& skips);

// "a cat.", "a dog" -> "a cat, a dog"; empty texts are left out.
std::string join_captions(const std::vector<std::string>& captions);

}  // namespace opencloc
