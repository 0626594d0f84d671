// Records and tensors as bytes, for another process of the same build.
#pragma once

#include <string>
#include <vector>

#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/data/shard/record.h"

namespace opencloc {

// Texts one after the other, and back.
std::string pack(const std::vector<std::string>& texts);
std::vector<std::string> unpack(const std::string& bytes);

// Tensors of the CPU, of any type.
std::string pack_tensors(const NamedTensors& tensors);
NamedTensors unpack_tensors(const std::string& bytes);

// All that a shard holds of a sample: ShardWriter makes the same bytes of both.
std::string pack_record(const Record& record);
Record unpack_record(const std::string& bytes);

}  // namespace opencloc
