// The classes and functions a pickle of PyTorch's names: those that stand for data, and those that
// must not be there.
#pragma once

#include <optional>
#include <string_view>

#include "opencloc/checkpoint/file/safetensors_header.h"

namespace opencloc {

// "torch.FloatStorage" -> F32; none for what is no storage.
std::optional<TensorType> pickle_storage_type(std::string_view name);
// Functions that give back what their first argument holds.
bool pickle_class_passes_through(std::string_view name);
// Names that no checkpoint has a reason for: os.system, builtins.eval, ... All others that are not
// known (optimizers, argparse.Namespace, numpy's scalars) stand for values of no interest.
bool pickle_class_is_hostile(std::string_view name);

}  // namespace opencloc
