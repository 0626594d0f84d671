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

namespace opencloc {

// Boxes of a grid: for each level of n boxes a side, n x n boxes that overlap their neighbours by
// half. 1, 2, 3 are 1 + 4 + 9 boxes. Row by row, in [0, 1].
std::vector<Box> grid_boxes(const std::vector<int64_t>& levels);

// Which `keep` of these boxes to keep: the best by quality of those that overlap no better one by
// an IoU above 0.5, then the best of the rest. Their places, ascending; all where there are no
// more. `qualities` are of the boxes.
std::vector<size_t> best_boxes(const std::vector<Box>& boxes, const std::vector<float>& qualities,
                               size_t keep);

struct IndexerOptions {
  std::vector<std::string> images;      // files, and folders with all pictures below them
  std::vector<PictureFile> with_boxes;  // files with their regions
  std::string data;                     // shards
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

// The names whose file or shard is not there any more. Names that lead to other machines are taken
// to be there.
std::vector<std::string> missing_names(PictureCatalog& catalog);
// "shard.tar" of "shard.tar#key" (a sample's name), the name itself of a file's.
std::string file_of(const PictureName& name);

}  // namespace opencloc
