// What lies at a path that is no model: the message that says what to do about it.
#pragma once

#include <filesystem>
#include <string>

#include "opencloc/model/config/config.h"

namespace opencloc {

// Throws Error (input): a configuration of a type that is not read, several files of weights, a run
// directory, a model's name instead of a path, ...
[[noreturn]] void refuse_no_model(const std::filesystem::path& path);

// Is there something in the folder that wants to be a model (config.json, weights)?
bool wants_to_be_model(const std::filesystem::path& folder);

// The keys of two configurations of one model that would make it compute something else, with both
// values; empty when there are none.
std::string different_keys(const ModelConfig& open_clip, const ModelConfig& hf);

}  // namespace opencloc
