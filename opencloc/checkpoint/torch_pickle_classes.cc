#include "opencloc/checkpoint/torch_pickle_classes.h"

#include <algorithm>
#include <array>

namespace opencloc {
namespace {

struct StorageName {
  std::string_view name;
  TensorType type;
};
constexpr std::array<StorageName, 10> kStorages{{{"DoubleStorage", TensorType::kF64},
                                                 {"FloatStorage", TensorType::kF32},
                                                 {"HalfStorage", TensorType::kF16},
                                                 {"BFloat16Storage", TensorType::kBF16},
                                                 {"LongStorage", TensorType::kI64},
                                                 {"IntStorage", TensorType::kI32},
                                                 {"ShortStorage", TensorType::kI16},
                                                 {"CharStorage", TensorType::kI8},
                                                 {"ByteStorage", TensorType::kU8},
                                                 {"BoolStorage", TensorType::kBool}}};

constexpr std::string_view kConstants[] = {"torch.float64",
                                           "torch.float32",
                                           "torch.float16",
                                           "torch.bfloat16",
                                           "torch.int64",
                                           "torch.int32",
                                           "torch.int16",
                                           "torch.int8",
                                           "torch.uint8",
                                           "torch.bool",
                                           "torch.device",
                                           "torch.strided",
                                           "torch.preserve_format",
                                           "torch.channels_last",
                                           "torch.contiguous_format"};

}  // namespace

std::optional<TensorType> pickle_storage_type(std::string_view name) {
  constexpr std::string_view kTorch = "torch.";
  if (!name.starts_with(kTorch)) return std::nullopt;
  const auto found = std::ranges::find(kStorages, name.substr(kTorch.size()), &StorageName::name);
  if (found == kStorages.end()) return std::nullopt;
  return found->type;
}

bool pickle_class_passes_through(std::string_view name) {
  return name.starts_with("torch.jit._pickle.build_") ||
         name == "torch.jit._pickle.restore_type_tag" ||
         name == "torch._utils._rebuild_parameter" || name == "torch.Size";
}

bool pickle_class_is_data(std::string_view name) {
  return name == "collections.OrderedDict" || name.starts_with("__torch__.") ||
         name == "torch._utils._rebuild_tensor_v2" || pickle_class_passes_through(name) ||
         pickle_storage_type(name) || std::ranges::find(kConstants, name) != std::end(kConstants);
}

}  // namespace opencloc
