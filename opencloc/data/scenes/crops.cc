#include "opencloc/data/scenes/crops.h"

#include <algorithm>
#include <utility>

#include "opencloc/base/decimal.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/image/cut.h"
#include "opencloc/image/encode.h"

namespace opencloc {
namespace {

constexpr size_t kPicturesAtATime = 64;

struct CropsOfOne {
  std::vector<Record> crops;
  CropsReport counts;
};

CropsOfOne crops_of(const Record& record, const std::string& name, const CropsOptions& options) {
  CropsOfOne result;
  result.counts.images = 1;
  const Image image = Image::decode(record.image, name);
  for (size_t i = 0; i < record.regions.size(); ++i) {
    const Region& region = record.regions[i];
    const PixelRect part = pixels_of(region.box, image);
    if (region.text.empty()) {
      ++result.counts.without_text;
    } else if (std::min(part.width, part.height) < options.smallest) {
      ++result.counts.too_small;
    } else {
      Record crop;
      crop.key = record.key + "_" + std::to_string(i);
      crop.extension = "png";
      crop.image = encode_png(cut(image, part));
      crop.caption = region.text;
      const Box& box = region.box;
      crop.extra["crop_of"] = {{"key", record.key},
                               {"box",
                                {shortest_decimal(box.x0), shortest_decimal(box.y0),
                                 shortest_decimal(box.x1), shortest_decimal(box.y1)}}};
      result.crops.push_back(std::move(crop));
    }
  }
  result.counts.crops = static_cast<int64_t>(result.crops.size());
  return result;
}

}  // namespace

CropsReport make_crops(const std::vector<std::string>& shards, const CropsOptions& options,
                       ShardSetWriter& out, SkipCounter& skips) {
  CropsReport report;
  std::vector<std::pair<std::string, Record>> batch;
  const auto flush = [&] {
    std::vector<CropsOfOne> made(batch.size());
    std::vector<std::string> problems(batch.size());
    parallel_for(static_cast<int64_t>(batch.size()), options.threads, [&](int64_t at) {
      const auto i = static_cast<size_t>(at);
      try {
        made[i] = crops_of(batch[i].second, batch[i].first, options);
      } catch (const Error& error) {  // of the picture
        problems[i] = error.what();
      }
    });
    for (size_t i = 0; i < batch.size(); ++i) {
      if (!problems[i].empty()) skips.add(skip::kBadImage, batch[i].first, problems[i]);
      for (const auto& crop : made[i].crops) out.write(crop);
      report.images += made[i].counts.images;
      report.crops += made[i].counts.crops;
      report.too_small += made[i].counts.too_small;
      report.without_text += made[i].counts.without_text;
      if (options.progress) options.progress();
    }
    batch.clear();
  };
  for (const auto& shard : shards) {
    ShardReader reader(shard, skips, options.shards);
    for (Record record; reader.next(record);) {
      batch.emplace_back(reader.name(), std::move(record));
      record = {};
      if (batch.size() == kPicturesAtATime) flush();
    }
  }
  flush();
  if (report.crops == 0) {
    throw Error::input("no region can be cut out: " + std::to_string(report.images) +
                           " pictures, " + std::to_string(report.without_text) +
                           " regions without a text, " + std::to_string(report.too_small) +
                           " too small",
                       "setting 'data'", "check the data with 'opencloc data stats'");
  }
  return report;
}

}  // namespace opencloc
