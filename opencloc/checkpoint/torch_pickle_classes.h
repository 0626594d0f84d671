// The classes and functions a pickle of PyTorch's may name: those that stand for data.
#pragma once

#include <optional>
#include <string_view>

#include "opencloc/checkpoint/safetensors_header.h"

namespace opencloc {

// "torch.FloatStorage" -> F32; none for what is no storage.
std::optional<TensorType> pickle_storage_type(std::string_view name);
// Functions that give back what their first argument holds.
bool pickle_class_passes_through(std::string_view name);
// All that may be named: these, tensors, ordered dictionaries, TorchScript's own classes, and
// constants that checkpoints mention beside their tensors (dtypes, devices).
bool pickle_class_is_data(std::string_view name);

}  // namespace opencloc
