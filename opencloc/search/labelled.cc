#include "opencloc/search/labelled.h"

#include "opencloc/base/error.h"
#include "opencloc/base/sha256.h"
#include "opencloc/data/shard/find_shards.h"

namespace opencloc {

LabelledPictures read_labels(PictureCatalog& catalog, const std::string& data,
                             const ShardOptions& options, SkipCounter& skips,
                             const std::function<void(int64_t samples)>& read) {
  LabelledPictures labels;
  std::set<int64_t> labelled;
  for (const std::string& path : find_shards(data, options, skips)) {
    ShardReader shard(path, skips, options);
    for (Record record; shard.next(record); record = {}) {
      if (read) read(1);
      const auto picture = catalog.picture_of_digest(sha256_hex(record.image));
      if (!picture) {
        ++labels.elsewhere;
        continue;
      }
      labelled.insert(*picture);
      for (const Region& region : record.regions) {
        if (!region.text.empty()) labels.pictures_of[region.text].insert(*picture);
      }
      if (record.label) labels.pictures_of[*record.label].insert(*picture);
    }
  }
  labels.labelled = static_cast<int64_t>(labelled.size());
  labels.unlabelled = catalog.counts().pictures - labels.labelled;
  if (labels.labelled == 0) {
    throw Error::input("no picture of the data is in the index", data,
                       "give the data whose pictures were added");
  }
  return labels;
}

}  // namespace opencloc
