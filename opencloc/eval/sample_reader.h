// Samples of shards, decoded and put onto the model's canvas, a batch ahead of the model.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/types.h>

#include "opencloc/data/shard_reader.h"
#include "opencloc/data/skips.h"
#include "opencloc/image/image.h"
#include "opencloc/model/config.h"

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
  std::vector<EvalRegion> regions;
};

struct SampleReaderOptions {
  int64_t batch_size = 64;
  int64_t max_samples = 0;  // 0 = all
  int workers = 1;
  bool keep_images = false;
  bool skip_bad_shards = false;
};

// Reads shards in order, front to back; always in the same order. Not thread-safe.
// Counted and left out: samples whose picture does not decode; regions without text or of which
// the canvas shows less than 0.3.
class SampleReader {
 public:
  // `config` and `skips` outlive the reader. Throws Error (input) when the glob matches nothing.
  SampleReader(const std::string& data_glob, const ModelConfig& config,
               const SampleReaderOptions& options, SkipCounter& skips);
  ~SampleReader();

  // Number of samples the shards hold, broken ones included; 0 = not known without unpacking them.
  int64_t expected() const { return expected_; }
  // The next good samples, at most batch_size; empty at the end.
  std::vector<EvalSample> next_batch();

 private:
  std::vector<Record> read_records();
  std::vector<EvalSample> load_batch();
  std::optional<EvalSample> load(Record& record, const std::string& name) const;

  const ModelConfig& config_;
  const SampleReaderOptions options_;
  SkipCounter& skips_;
  std::vector<std::string> shards_;
  size_t next_shard_ = 0;
  std::unique_ptr<ShardReader> shard_;
  std::vector<std::string> names_;  // of the records read last
  int64_t taken_ = 0;
  int64_t expected_ = 0;
  std::future<std::vector<EvalSample>> ahead_;
};

}  // namespace opencloc
