// RUN/checkpoints/step-N: everything an exact resume needs.
//   model/                  a model directory like any other (eval, embed and convert read it)
//   optimizer.safetensors   AdamW's moments
//   beside.safetensors      weights that training needs and the model has not, where there are any
//   state.json              the step, the loader's position, ..., and every file's size and CRC-32
// There are no other random states: all random numbers follow from the seed and the position.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/data/load/sampler.h"
#include "opencloc/train/optimizer.h"

namespace opencloc {

struct TrainState {
  int64_t step = 0;  // steps done
  int64_t samples = 0;
  uint64_t seed = 0;
  SamplerPosition position;          // of the loader
  std::vector<uint64_t> data_sizes;  // samples of each source
  Json objective = Json::object();   // Objective::state()
  uint64_t metrics_bytes = 0;        // length of metrics.jsonl
  std::string config;                // RunConfig::effective
};

struct Checkpoint {
  std::filesystem::path path;
  TrainState state;
};

// Writes RUN/checkpoints/step-N whole or not at all. Throws Error (failed): disk full, ...
// `save_model` makes the folder of that path.
struct SavedTensors {
  NamedTensors moments, beside;
};
void save_checkpoint(const std::filesystem::path& run, const TrainState& state,
                     const std::function<void(const std::filesystem::path&)>& save_model,
                     const SavedTensors& tensors);

// Reads state.json and checks that every file is whole. Throws Error (input) saying what is wrong.
Checkpoint open_checkpoint(const std::filesystem::path& path);
// AdamW's moments, by name.
NamedTensors read_moments(const Checkpoint& checkpoint);
// Into tensors of the same names and shapes. Throws Error (input) where one is missing or differs.
void read_beside(const Checkpoint& checkpoint, const NamedTensors& tensors);

// state.json without the files' sizes.
Json train_state_to_json(const TrainState& state);
TrainState train_state_from_json(const Json& json, const std::string& where);

// What --resume means. auto or latest: the newest whole checkpoint of the run, with a warning for
// each broken one passed over; `latest` must find one. none: nothing. Else a checkpoint's path,
// which must be whole: Error (input).
std::optional<Checkpoint> find_checkpoint(const std::filesystem::path& run,
                                          const std::string& resume);

// Checkpoint folders of a run, newest first.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& run);
// Removes all but the newest `keep` (0 = none are removed).
void prune_checkpoints(const std::filesystem::path& run, int64_t keep);

}  // namespace opencloc
