// Pictures from files and shards, decoded and put onto the model's canvas a batch ahead of the
// model.
//
// Inputs are numbered from 0, files first, then the samples of the shards, broken ones included.
// Batch b holds those of [b batch_size, (b + 1) batch_size): what is in a batch hangs on nothing
// but the data, so that several processes that take turns make the batches of one.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/skips.h"
#include "opencloc/image/box.h"
#include "opencloc/image/canvas.h"
#include "opencloc/image/image.h"
#include "opencloc/model/config/config.h"

namespace opencloc {

// A region of a picture. Boxes are in [0, 1] of the stored picture.
struct SourceRegion {
  Box box;
  std::string text;  // its label, where the data has one
};

struct SourcePicture {
  std::string name;      // the path as given, or "shard.tar#key"
  torch::Tensor pixels;  // [3, S, S]; undefined when the picture is broken
  std::string error;     // why, then
  bool from_data = false;
  CanvasMap map;  // picture -> canvas
  Image image;    // as decoded, with PictureSourceOptions::keep_images
  std::vector<SourceRegion> regions;
  size_t own_regions = 0;         // so many; PictureSourceOptions::other_regions follow
  std::vector<Box> canvas_boxes;  // the regions on the canvas; no area = off the canvas
  // A shard's sample; with PictureSourceOptions::keep_records whole, else without its picture's
  // bytes.
  std::shared_ptr<Record> record;
  int64_t sample = -1;            // its number in the shard; -1 for a file
  int64_t width = 0, height = 0;  // of the stored picture
  std::string digest;             // with PictureSourceOptions::is_known: SHA-256, hexadecimal
  bool known = false;             // is_known said so: not decoded
};

// A picture file and the regions that are wanted of it.
struct PictureFile {
  std::string path;
  std::vector<SourceRegion> regions;
};

// Which batches this process takes: first, first + every, ... They are dealt like cards, not cut
// into shares, so that results can go on in the order of the data while the work does, and nobody
// needs to know how many there are. What lies between is passed over; each damaged shard is counted
// by the process whose batch it falls into.
struct PictureDeal {
  int64_t first = 0;
  int64_t every = 1;
};

struct PictureBatch {
  std::vector<SourcePicture> pictures;  // broken ones too; samples that cannot be read have none
  std::vector<SkipCase> skipped;        // those, for a SkipCounter
  bool last = false;                    // the data ends here: all later batches are empty
};

struct PictureSourceOptions {
  int64_t batch_size = 32;
  PictureDeal deal;
  int workers = 1;
  bool skip_bad_shards = false;
  bool keep_records = false;
  bool keep_images = false;
  bool count_samples = false;  // reads the names in plain shards first, for expected()
  bool jpeg_draft = false;     // decode JPEGs smaller where the canvas does not need all of them
  bool own_regions = true;     // false: those of files and records are not taken
  // The regions of pictures that have none of their own; with beside_own of all, behind their own.
  std::vector<SourceRegion> other_regions = {};
  bool beside_own = false;
  // Asked with the digest of every picture's bytes, from any of the workers: true, and it is not
  // decoded.
  std::function<bool(const std::string& digest)> is_known = {};
};

// Files first, then shards, in order. Broken pictures are handed out too, with their error.
// Not thread-safe.
class PictureSource {
 public:
  // `data_glob` may be empty. `config` and `skips` outlive the source; `skips` counts shard samples
  // without a picture and the like. Throws Error (input) for missing files and empty globs.
  PictureSource(std::vector<PictureFile> files, const std::string& data_glob,
                const ModelConfig& config, const PictureSourceOptions& options, SkipCounter& skips);
  ~PictureSource();

  // How many pictures will come, broken ones included; 0 = not known without reading shards.
  int64_t expected() const { return expected_; }
  // The next batch of this process; it may be empty and not the last. Counts nothing.
  PictureBatch next();
  // The next batch with a picture in it; empty at the end. Counts what was skipped.
  std::vector<SourcePicture> next_batch();

 private:
  struct Raw {  // before decoding
    SourcePicture picture;
    std::string bytes;  // of a shard's sample; files are read by the workers
  };
  PictureBatch load_batch();
  std::vector<Raw> read_batch();
  void pass_to(int64_t input);
  bool open_shard();
  bool read_sample(Raw& raw, int64_t end);
  void decode(Raw& raw) const;

  const ModelConfig& config_;
  const PictureSourceOptions options_;
  SkipCounter& skips_;
  std::vector<PictureFile> files_;
  std::vector<std::string> shards_;
  SkipCounter reading_{0};  // of the batch that is read
  int64_t next_batch_;
  int64_t next_input_ = 0;
  size_t next_shard_ = 0;
  int64_t shard_begin_ = 0;  // number of the open shard's first sample
  int64_t expected_ = 0;
  std::unique_ptr<ShardReader> shard_;
  std::future<PictureBatch> ahead_;
  bool ended_ = false;  // the last batch was handed out
};

}  // namespace opencloc
