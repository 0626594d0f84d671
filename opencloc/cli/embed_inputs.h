// The pictures `embed` reads, from files and shards, decoded and put onto the model's canvas a
// batch ahead of the model.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

#include "opencloc/data/shard_reader.h"
#include "opencloc/data/skips.h"
#include "opencloc/image/box.h"
#include "opencloc/model/config.h"

namespace opencloc::cli {

// A region to embed. Boxes are in [0, 1] of the stored picture.
struct EmbedRegion {
  Box box;
  std::string text;  // its label, where the data has one
};

struct EmbedPicture {
  std::string name;      // the path as given, or "shard.tar#key"
  torch::Tensor pixels;  // [3, S, S]; undefined when the picture is broken
  std::string error;     // why, then
  std::string text;      // of a shard's sample
  bool from_data = false;
  std::vector<EmbedRegion> regions;
  std::vector<Box> canvas_boxes;   // the regions on the canvas; no area = off the canvas
  std::shared_ptr<Record> record;  // the sample itself, with PictureSourceOptions::keep_records
};

// A picture file and the regions --boxes asks for in it.
struct PictureFile {
  std::string path;
  std::vector<EmbedRegion> regions;
};

// One text a line, without the line ends; the last line needs none. Throws Error (input).
std::vector<std::string> read_lines(const std::string& path);

// Adds the regions of a file of lines {"image": PATH, "box": [x0, y0, x1, y1], "text"?: T} to the
// pictures they name; pictures that are not in the list yet are appended. Boxes are clipped to the
// picture. Throws Error (input) naming the line.
void add_boxes(const std::string& path, std::vector<PictureFile>& files);

struct PictureSourceOptions {
  int64_t batch_size = 32;
  int workers = 1;
  bool skip_bad_shards = false;
  bool keep_records = false;
  bool jpeg_draft = false;  // decode JPEGs smaller where the canvas does not need all of them
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

  // How many pictures will come; 0 = not known without unpacking shards.
  int64_t expected() const;
  // At most batch_size; empty at the end.
  std::vector<EmbedPicture> next_batch();

 private:
  struct Raw {  // before decoding
    EmbedPicture picture;
    std::string bytes;  // of a shard's sample; files are read by the workers
  };
  std::vector<Raw> read_batch();
  std::vector<EmbedPicture> load_batch();
  void decode(Raw& raw) const;

  const ModelConfig& config_;
  const PictureSourceOptions options_;
  SkipCounter& skips_;
  std::vector<PictureFile> files_;
  std::vector<std::string> shards_;
  size_t next_file_ = 0;
  size_t next_shard_ = 0;
  std::unique_ptr<ShardReader> shard_;
  std::future<std::vector<EmbedPicture>> ahead_;
};

}  // namespace opencloc::cli
