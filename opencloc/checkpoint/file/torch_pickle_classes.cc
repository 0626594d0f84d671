#include "opencloc/checkpoint/file/torch_pickle_classes.h"

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

// What reaches out of a pickle: no checkpoint has a reason to name it. (Nothing would be run; a
// file that asks for it is hostile, and is told so.)
constexpr std::string_view kHostileModules[] = {
    "os",     "posix",  "nt",      "subprocess", "sys",     "importlib", "runpy",   "shutil",
    "socket", "pickle", "_pickle", "ctypes",     "code",    "codeop",    "pty",     "webbrowser",
    "io",     "_io",    "pip",     "timeit",     "asyncio", "commands",  "marshal", "imp"};
constexpr std::string_view kBuiltinTypes[] = {
    "set",     "frozenset", "list", "dict",    "tuple",     "int",     "float",
    "complex", "bool",      "str",  "bytes",   "bytearray", "object",  "range",
    "slice",   "NoneType",  "long", "unicode", "type",      "Ellipsis"};

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
         name == "torch._utils._rebuild_parameter" ||
         name == "torch._utils._rebuild_parameter_with_state" || name == "torch.Size";
}

bool pickle_class_is_hostile(std::string_view name) {
  const std::string_view module = name.substr(0, name.find('.'));
  if (module == "builtins" || module == "__builtin__") {
    const auto type = name.substr(std::min(name.size(), module.size() + 1));
    return std::ranges::find(kBuiltinTypes, type) == std::end(kBuiltinTypes);
  }
  return std::ranges::find(kHostileModules, module) != std::end(kHostileModules);
}

}  // namespace opencloc
