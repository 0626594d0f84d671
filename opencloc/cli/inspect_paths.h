// What lies at a path: an answer for `opencloc inspect`, as JSON; a description of the same for
// people. Pictures are decoded, shards are read through, and of models the weights, for values that
// are no numbers.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "opencloc/base/json.h"

namespace opencloc::cli {

// Chooses by what the path is:
//   picture     {"path", "ok", "format", "width", "height", "mode", "error"}; never throws, a
//               broken picture (and any file of unknown kind) is an answer
//   shard       {"path", "kind": "shard", "samples", "regions", "texts", "labels", "bytes",
//               "skipped"}, as for a folder of shards ("kind": "shards")
//   safetensors {"path", "kind": "safetensors", "bytes", "parameters", "dtypes", "metadata",
//               "tensors": [{"name", "dtype", "shape"}]}
//   gguf, torch the same; "metadata" holds GGUF's keys (long lists as their length), and torch has
//               none. All three get a "model" where the file is one by itself
//   model       {"path", "kind": "model", "layout", "seen", "assumed", "not_finite",
//               "vision_only", "name", "parameters", "dtypes", "config", "cloc", "region_heads",
//               "tokenizer", "about"}; "seen" says by what files the layout was told, "assumed"
//               what they do not say and was taken for granted (warned of, too), "not_finite" names
//               the tensors with values that are infinite or no numbers
//   checkpoint  {"path", "kind": "checkpoint", "step", "samples", "seed", "whole", "model": {...}}
//   run         {"path", "kind": "run", "checkpoints", "last_metrics", "model": {...}}
// Throws Error (input) for a missing path, a folder of unknown kind and a shard, safetensors file
// or model directory that is broken. Thread-safe. `architecture`: of weights that come without
// configuration, may be empty.
Json inspect_path(const std::filesystem::path& path, const std::string& architecture = {});

// Weights, a model, a checkpoint, a run, or a folder of none of these and no shards: tensor_parts()
// looks into it. False for pictures, shards and folders of shards. Of a path that is there.
bool may_hold_tensors(const std::filesystem::path& path);

// A shard, or a folder of shards.
Json inspect_shards(const std::filesystem::path& path);
std::vector<std::string> shards_in(const std::filesystem::path& directory);
// `found` behind "path" and "kind".
Json with_kind(const std::filesystem::path& path, const char* kind, const Json& found);

// Lines for people, without the last line end.
std::string describe(const Json& found);

}  // namespace opencloc::cli
