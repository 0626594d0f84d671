#include "opencloc/checkpoint/layout/layout.h"

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/layout/weights.h"

namespace opencloc {

const char* to_string(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return "f32";
    case Dtype::kF16:
      return "f16";
    case Dtype::kBF16:
      return "bf16";
    case Dtype::kQ8_0:
      break;
  }
  return "q8_0";
}

Dtype dtype_from(const std::string& name) {
  for (const auto dtype : {Dtype::kF32, Dtype::kF16, Dtype::kBF16, Dtype::kQ8_0}) {
    if (name == to_string(dtype)) return dtype;
  }
  throw Error::input("no such dtype", "'" + name + "'", "use f32, f16, bf16 or q8_0");
}

void require_openai_clip(const ModelConfig& config, std::string_view layout) {
  if (is_openai_clip(config)) return;
  throw Error::input("this layout has no model of this architecture", std::string(layout),
                     "use the open_clip layout");
}

NamedTensors cast(NamedTensors tensors, Dtype dtype) {
  if (dtype == Dtype::kQ8_0) {
    throw Error::input("only GGUF files hold q8_0", "setting 'dtype=q8_0'",
                       "use the setting 'to=gguf', or one of the settings 'dtype=f32', 'dtype=f16' "
                       "and 'dtype=bf16'");
  }
  const auto type = dtype == Dtype::kF32   ? torch::kFloat32
                    : dtype == Dtype::kF16 ? torch::kFloat16
                                           : torch::kBFloat16;
  for (auto& [name, tensor] : tensors) {
    const auto wide = tensor;
    tensor = wide.to(type);
    // F16 ends at 65504: what was a number must stay one.
    if (dtype == Dtype::kF16 && wide.is_floating_point() && !is_finite(tensor) && is_finite(wide)) {
      throw Error::input("a value of '" + name + "' is too large for f16", "setting 'dtype=f16'",
                         "use the settings 'dtype=bf16' or 'dtype=f32'");
    }
  }
  return tensors;
}

}  // namespace opencloc
