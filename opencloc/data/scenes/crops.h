// The regions of pictures as pictures of their own: what a model that knows no boxes can learn from
// the same labels.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/shard_writer.h"

namespace opencloc {

struct CropsOptions {
  int smallest = 1;  // pixels: regions with a shorter side are left out, counted
  int threads = 1;
  ShardOptions shards = {};
  std::function<void()> progress = {};  // called once per picture
};

struct CropsReport {
  int64_t images = 0;  // read
  int64_t crops = 0;   // written
  int64_t too_small = 0;
  int64_t without_text = 0;
};

// A PNG for every region with a text: the pixels that its box touches, as evaluation by crops cuts
// them (image/cut.h). Its key is KEY_0, KEY_1, ... of the sample and its place among the regions,
// its caption the region's text; "crop_of" keeps the sample's key and the box. In the order of the
// samples, whatever `threads`. Broken samples are counted.
CropsReport make_crops(const std::vector<std::string>& shards, const CropsOptions& options,
                       ShardSetWriter& out, SkipCounter& skips);

}  // namespace opencloc
