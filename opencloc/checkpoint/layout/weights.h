// Moving parameters between a model and a file whose layout may name and shape them otherwise.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/file/stored_tensors.h"

namespace opencloc {

// How one parameter lies in a file.
struct StoredAs {
  enum class Form {
    kSame,
    kTransposed,   // [A, B] for [B, A]
    kSplitRows,    // several tensors, stacked along the first axis
    kLeadingOnes,  // [1, A] or [1, 1, A] for [A]
  };
  std::vector<std::string> names;  // one, or one per part with kSplitRows
  Form form = Form::kSame;
  // kSplitRows: the parts' numbers of rows are as these to each other; empty: all are equal.
  std::vector<int64_t> shares = {};
  int64_t leading_ones = 0;  // of kLeadingOnes
};

// What a layout calls a parameter (by its open_clip name).
using Naming = std::function<StoredAs(const std::string& parameter)>;
// Tensors of a file that are no parameters and may be there (masks, position ids).
using Ignored = std::function<bool(const std::string& stored_name)>;

// Fills every parameter from the files, converting F16, BF16 and F64 to the parameter's type.
// Throws Error (input) before anything is written when tensors are missing, unexpected, of another
// shape, not floating point, or hold values that are not finite; it names the first few.
void load_weights(const StoredTensors& stored, const NamedTensors& parameters, const Naming& naming,
                  const Ignored& ignored);

// The tensors a file of that layout holds. Sharing storage with the parameters where possible.
NamedTensors stored_weights(const NamedTensors& parameters, const Naming& naming);

// Has it no value that is infinite or no number?
bool is_finite(const torch::Tensor& tensor);

// Every parameter under its own name.
StoredAs stored_plainly(const std::string& parameter);
bool ignore_none(const std::string& stored_name);

}  // namespace opencloc
