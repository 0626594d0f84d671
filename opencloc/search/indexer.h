// Pictures -> an index of them: each is encoded once, and gives a vector of the whole and one for
// every region.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/encode/embedder.h"
#include "opencloc/encode/picture_source.h"
#include "opencloc/index/pending.h"
#include "opencloc/index/store.h"
#include "opencloc/search/grid.h"
#include "opencloc/search/picture_files.h"

namespace opencloc {

// The boxes that a detector finds in pictures, one list a picture.
using FindBoxes =
    std::function<std::vector<std::vector<SourceRegion>>(const std::vector<const Image*>& images)>;

struct IndexerOptions {
  std::vector<std::string> images;      // files, and folders with all pictures below them
  std::vector<PictureFile> with_boxes;  // files with their regions
  std::string data;                     // shards
  FindBoxes find_boxes = {};            // a detector, or none
  EmbedderOptions encode = {};
  int workers = 1;
  bool skip_bad_shards = false;
  // Pictures that become a segment together: what a kill costs at most.
  int64_t commit_every = 1000;
  // Called when it is known how many pictures there are to look at (0 = not known), then with each
  // number of further ones.
  std::function<void(int64_t expected)> begin = {};
  std::function<void(int64_t pictures)> progress = {};
};

struct IndexerSummary {
  int64_t added = 0;      // pictures
  int64_t vectors = 0;    // theirs
  int64_t aliases = 0;    // further names of content that is there
  int64_t unchanged = 0;  // files that are there by name, size and time
  int64_t broken = 0;
  std::vector<std::string> broken_names;  // the first of them, each with what is wrong
  int64_t detected = 0;                   // boxes that the detector found
  int64_t off_canvas = 0;                 // regions that the model's canvas does not show
  double seconds = 0;                     // in all
  double writing_seconds = 0;             // of them not reading, decoding or encoding
  Json json() const;
};

// `index`: where it is (index/store.h). Makes it where there is none; `made` says how. Where there
// is one, its own settings count. Adds what is not there yet. Throws Error (input) when the index
// is another model's, naming both. `skips` counts samples of shards that cannot be used.
IndexerSummary index_pictures(LoadedModel& loaded, const std::string& index, const IndexInfo& made,
                              const IndexerOptions& options, SkipCounter& skips);

// Throws Error (input) when the index's vectors are of another model than this one; `model` is its
// path, `index` says where the index is.
void require_model(const IndexInfo& info, const std::string& fingerprint, const std::string& model,
                   const std::string& index);

}  // namespace opencloc
