// The samples that are evaluated on, from the pictures of shards (encode/picture_source.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <torch/types.h>

#include "opencloc/data/shard/skips.h"
#include "opencloc/dist/group.h"
#include "opencloc/encode/picture_source.h"
#include "opencloc/model/config/config.h"

namespace opencloc {

struct EvalRegion {
  Box image_box;   // in [0, 1] of the picture
  Box canvas_box;  // in [0, 1] of the canvas, clipped to it
  std::string text;
  bool held_out = false;  // the name was kept out of training
};

struct EvalSample {
  torch::Tensor pixels;               // [3, S, S]
  Image image;                        // the whole picture; empty unless keep_images
  std::vector<std::string> captions;  // distinct; alt-text only where there is nothing else
  std::optional<std::string> label;
  std::optional<std::string> group;  // the record's "group"
  std::optional<std::string> value;  // of SampleReaderOptions::value_key
  std::vector<EvalRegion> regions;
};

struct SampleReaderOptions {
  int64_t batch_size = 64;
  int64_t max_samples = 0;  // 0 = all
  int workers = 1;
  bool keep_images = false;
  std::string value_key;  // of record_value(); empty = none
  // What stands for a region in words: its "text", or the string that it has under another key
  // ("phrase", "name"), where it has one.
  std::string region_text = "text";
  bool skip_bad_shards = false;
  bool count_samples = true;  // for expected()
  dist::Group* group = &dist::alone();
};

// Reads shards in order, front to back; always in the same order. Several processes take turns:
// each batch is read and decoded by one of them. Not thread-safe.
// Counted and left out: samples whose picture does not decode; regions without text or of which
// the canvas shows less than 0.3.
class SampleReader {
 public:
  // `config` and `skips` outlive the reader. Throws Error (input) when the glob matches nothing.
  SampleReader(const std::string& data_glob, const ModelConfig& config,
               const SampleReaderOptions& options, SkipCounter& skips);

  // Number of samples the shards hold, broken ones included; 0 = not known without unpacking them.
  int64_t expected() const;
  // The good samples of the next batch of every process, at most batch_size each, in order of the
  // ranks, which is that of the data. Only a process's own have pixels and pictures. Empty at the
  // end. A call of all processes.
  std::vector<std::vector<EvalSample>> next_round();

 private:
  std::vector<EvalSample> samples_of(PictureBatch& batch, int64_t room);
  std::optional<EvalSample> sample_of(SourcePicture& picture) const;

  const ModelConfig& config_;
  const SampleReaderOptions options_;
  SkipCounter& skips_;
  PictureSource source_;
  int64_t taken_ = 0;  // by all processes
  bool ended_ = false;
};

}  // namespace opencloc
