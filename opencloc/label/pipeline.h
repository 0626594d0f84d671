// Stages over shards: one input shard -> one output shard of the same name, written whole or not at
// all, in the order of its samples. A process that is killed costs the shard it was at; started
// again with the same command it goes on with the first shard that is not there yet, and the shards
// come out byte for byte as if nothing had happened.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/label/shard_share.h"
#include "opencloc/label/stage.h"

namespace opencloc {

struct LabelOptions {
  std::vector<std::string> shards;  // of all processes together
  std::filesystem::path out;
  ShardShare share;
  int64_t batch_size = 16;  // samples that go through the stages together
  int threads = 1;          // decoding
  bool overwrite = false;   // finished shards are made again
  ShardOptions reader;
};

struct LabelSummary {
  int64_t shards = 0;    // made now
  int64_t finished = 0;  // were there already
  int64_t images = 0;
  int64_t regions = 0;
  double seconds = 0;
  std::map<std::string, double> stage_seconds;  // "read", "decode", stages, "write"
  Json json() const;
};

// A shard that a stage does not let pass (Stage::check_shard) is not written and ends the run.
// Beside OUT/NAME.tar lies OUT/NAME.tar.report.json: counts and time by stage, what was skipped. A
// shard without one is not finished: made before, by other settings, or by a process that was
// killed. Throws Error (input) when two inputs have one name, when OUT is where the inputs lie, or
// when a finished shard was made with other settings (unless `overwrite`).
LabelSummary label_shards(const LabelOptions& options, std::vector<std::unique_ptr<Stage>>& stages);

}  // namespace opencloc
