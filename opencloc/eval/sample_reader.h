// The samples that are evaluated on, from the pictures of shards (encode/picture_source.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/data/shard/skips.h"
#include "opencloc/dist/group.h"
#include "opencloc/encode/picture_source.h"
#include "opencloc/eval/box_selection.h"
#include "opencloc/eval/eval_sample.h"
#include "opencloc/model/config/config.h"

namespace opencloc {

struct SampleReaderOptions {
  int64_t batch_size = 64;
  int64_t max_samples = 0;  // 0 = all
  int workers = 1;
  bool keep_images = false;
  std::string value_key;  // of record_value(); empty = none
  // What stands for a region in words: its "text", or the string that it has under another key
  // ("phrase", "name"), where it has one.
  std::string region_text = "text";
  BoxSelection boxes = {};
  // No box is left out because the canvas cuts it off: for boxes that are cut out of the picture.
  bool boxes_off_canvas = false;
  bool skip_bad_shards = false;
  bool count_samples = true;  // for expected()
  dist::Group* group = &dist::alone();
};

// Reads shards in order, front to back; always in the same order. Several processes take turns:
// each batch is read and decoded by one of them. Not thread-safe.
// Counted and left out: samples whose picture does not decode; regions without text (unless they
// are distractors), of which the canvas shows less than 0.3 (unless boxes_off_canvas), or which the
// selection leaves out.
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
  void add_regions(const SourcePicture& picture, EvalSample& sample) const;
  std::string_view refused(const Region& region, std::string_view text, double area) const;

  const ModelConfig& config_;
  const SampleReaderOptions options_;
  SkipCounter& skips_;
  PictureSource source_;
  int64_t taken_ = 0;  // by all processes
  bool ended_ = false;
};

}  // namespace opencloc
