// What labelled data says of an index's pictures.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/skips.h"
#include "opencloc/index/catalog.h"

namespace opencloc {

struct LabelledPictures {
  std::map<std::string, std::set<int64_t>> pictures_of;  // name -> pictures that hold it
  int64_t labelled = 0;                                  // pictures of the index that the data has
  int64_t unlabelled = 0;                                // of the index, not of the data
  int64_t elsewhere = 0;                                 // of the data, not of the index
};

// Names are the texts of a record's regions, and its label. Pictures are told by their content.
// `data` as for training; `read` hears of samples. Throws Error (input) for data without samples.
LabelledPictures read_labels(PictureCatalog& catalog, const std::string& data,
                             const ShardOptions& options, SkipCounter& skips,
                             const std::function<void(int64_t samples)>& read = {});

}  // namespace opencloc
