#include "opencloc/checkpoint/file/torch_checkpoint.h"

#include <algorithm>
#include <memory>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/file/torch_pickle.h"
#include "opencloc/checkpoint/file/torch_zip.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using Kind = PickleValue::Kind;

constexpr size_t kMaxPickleBytes = size_t{64} << 20;
constexpr size_t kMaxTensors = 1'000'000;
constexpr int kMaxDepth = 64;  // of modules in modules

struct Archive {
  explicit Archive(const fs::path& path)
      : where(path.string()), map(path), zip(map.bytes(), where), pickle(pickle_of(zip), where) {}

  std::span<const std::byte> pickle_of(const TorchZip& archive) const {
    const auto bytes = archive.entry("data.pkl");
    if (bytes.size() > kMaxPickleBytes) {
      throw Error::input("its pickle is longer than 64 MiB", where,
                         "save the tensors alone, without optimizer or data");
    }
    return bytes;
  }

  std::string where;
  MappedFile map;
  TorchZip zip;
  Pickle pickle;
};

// The bytes of a tensor's storage. Error (input) when they are fewer than the tensor reaches over.
std::span<const std::byte> storage_of(const Archive& archive, const PickleValue& tensor,
                                      const std::string& name) {
  const PickleValue& storage = *tensor.values[0];
  const auto refuse = [&](const char* what) {
    throw Error::input("tensor '" + name + "' " + what, archive.where,
                       "the file is damaged or hostile: get it again");
  };
  const auto bytes = archive.zip.entry("data/" + storage.text);
  const auto elements = static_cast<int64_t>(bytes.size() / bytes_of(storage.type));
  int64_t last = tensor.integer, count = 1;  // the farthest element, and how many there are
  bool overflow = false;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    int64_t reach = 0;
    overflow |= __builtin_mul_overflow(count, tensor.shape[i], &count);
    if (tensor.shape[i] == 0) continue;
    overflow |= __builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &reach);
    overflow |= __builtin_add_overflow(last, reach, &last);
  }
  if (overflow || count > elements) refuse("has more values than its storage");
  if (count > 0 && last >= elements) refuse("reaches beyond its storage");
  return bytes;
}

torch::Tensor tensor_of(const std::shared_ptr<const Archive>& archive, const PickleValue& tensor,
                        const std::string& name) {
  const TensorType type = tensor.values[0]->type;
  const auto options = torch::TensorOptions().dtype(scalar_type(type));
  const auto bytes = storage_of(*archive, tensor, name);
  if (std::ranges::find(tensor.shape, 0) != tensor.shape.end())
    return torch::empty(tensor.shape, options);
  if (type == TensorType::kBool &&
      std::ranges::any_of(bytes, [](std::byte b) { return b > std::byte{1}; })) {
    throw Error::input("tensor '" + name + "' holds values other than 0 and 1", archive->where,
                       "the file is damaged: get it again");
  }
  const auto* begin = bytes.data() + static_cast<size_t>(tensor.integer) * bytes_of(type);
  auto view = torch::from_blob(
      const_cast<std::byte*>(begin), tensor.shape, tensor.strides, [archive](void*) {}, options);
  return reinterpret_cast<uintptr_t>(begin) % bytes_of(type) == 0 ? view : view.clone();
}

// All tensors under `value`, named by their path.
class Collector {
 public:
  explicit Collector(std::shared_ptr<const Archive> archive) : archive_(std::move(archive)) {}

  void collect(const PickleValue& value, const std::string& prefix, int depth) {
    if (depth > kMaxDepth || ++visited_ > kMaxTensors) {
      throw Error::input("modules in modules without end", archive_->where,
                         "the file is damaged or hostile: get it again");
    }
    for (size_t i = 0; i + 1 < value.values.size(); i += 2) {
      const auto& key = *value.values[i];
      const auto& item = *value.values[i + 1];
      if (key.kind != Kind::kString) continue;
      const std::string name = prefix + key.text;
      if (item.kind == Kind::kTensor) {
        add(item, name);
      } else if (item.kind == Kind::kObject) {
        collect(item, name + '.', depth + 1);
      }
    }
  }

  std::vector<StoredTensor> tensors;

 private:
  void add(const PickleValue& tensor, const std::string& name) {
    if (tensors.size() >= kMaxTensors)
      throw Error::input("more than a million tensors", archive_->where, "get the file again");
    storage_of(*archive_, tensor, name);  // damage is told when the file is opened
    tensors.push_back(
        {name, to_string(tensor.values[0]->type), tensor.shape,
         [archive = archive_, &tensor, name] { return tensor_of(archive, tensor, name); }});
  }

  std::shared_ptr<const Archive> archive_;
  size_t visited_ = 0;
};

size_t count_tensors(const PickleValue& value) {
  size_t count = 0;
  for (size_t i = 1; i < value.values.size(); i += 2)
    count += value.values[i]->kind == Kind::kTensor ? 1 : 0;
  return count;
}

bool is_dict(const PickleValue& value) {
  return value.kind == Kind::kDict || value.kind == Kind::kOther;
}

struct StateDict {
  const PickleValue* value = nullptr;
  std::string key;   // in the root; empty: the root itself
  std::string note;  // what else could have been meant
};

[[noreturn]] void refuse_root(const Archive& archive) {
  const PickleValue& root = archive.pickle.root();
  const bool object = root.kind == Kind::kOther && !root.text.empty();
  throw Error::input(object ? "holds an object of " + root.text + " instead of a state dict"
                            : std::string("holds no state dict"),
                     archive.where,
                     object ? "load it where it was made and save its state_dict()"
                            : "save {name: tensor}, or {\"state_dict\": {name: tensor}}");
}

// Of several dictionaries of tensors the usual name decides, as in open_clip, and it is told;
// without a usual name there must be one.
StateDict state_dict_of(const Archive& archive) {
  const PickleValue& root = archive.pickle.root();
  if (root.kind == Kind::kObject) return {&root, {}, {}};
  if (!is_dict(root)) refuse_root(archive);
  std::vector<StateDict> found;
  for (size_t i = 0; i + 1 < root.values.size(); i += 2) {
    const auto& key = *root.values[i];
    const auto& item = *root.values[i + 1];
    if (key.kind == Kind::kString && is_dict(item) && count_tensors(item) > 0)
      found.push_back({&item, key.text, {}});
  }
  for (const char* usual : {"state_dict", "model_state_dict", "model", "module"}) {
    const auto chosen = std::ranges::find(found, usual, &StateDict::key);
    if (chosen == found.end()) continue;
    std::string others;
    for (const auto& other : found) {
      if (other.key != usual && 2 * count_tensors(*other.value) >= count_tensors(*chosen->value))
        others += (others.empty() ? "'" : ", '") + other.key + "'";
    }
    if (!others.empty())
      chosen->note = std::string("the weights are those of '") + usual + "', not of " + others;
    return *chosen;
  }
  if (count_tensors(root) > 0) return {&root, {}, {}};
  if (found.size() == 1) return found[0];
  if (found.empty()) refuse_root(archive);
  std::string keys;
  for (const auto& one : found) keys += (keys.empty() ? "'" : ", '") + one.key + "'";
  throw Error::input("holds several dictionaries of tensors: " + keys, archive.where,
                     "save the one that is meant, as {\"state_dict\": {name: tensor}}");
}

// Takes off what wrappers put before every name.
void strip_wrappers(std::vector<StoredTensor>& tensors) {
  for (const std::string_view prefix : {"module.", "_orig_mod.", "module."}) {
    const bool all = !tensors.empty() && std::ranges::all_of(tensors, [&](const auto& tensor) {
      return tensor.name.starts_with(prefix);
    });
    if (!all) continue;
    for (auto& tensor : tensors) tensor.name.erase(0, prefix.size());
  }
}

}  // namespace

bool looks_like_torch_file(std::span<const std::byte> start) {
  // The old format begins with a pickle (protocol 2) of a number.
  return TorchZip::looks_like_one(start) ||
         (start.size() >= 3 && start[0] == std::byte{0x80} && start[1] <= std::byte{5} &&
          start[2] == std::byte{0x8a});
}

StoredTensors open_torch_checkpoint(const fs::path& path) {
  {
    const MappedFile probe(path);
    if (!TorchZip::looks_like_one(probe.bytes())) {
      throw Error::input("is in PyTorch's format from before 1.6, which is not read", path.string(),
                         "load and save it with a newer PyTorch, best with safetensors");
    }
  }
  const auto archive = std::make_shared<const Archive>(path);
  if (archive->zip.has("byteorder")) {
    const auto order = archive->zip.entry("byteorder");
    const std::string_view text(reinterpret_cast<const char*>(order.data()), order.size());
    if (text != "little") {
      throw Error::input("was written on a big-endian machine", archive->where,
                         "save it again on a little-endian one");
    }
  }
  Collector collector(archive);
  const StateDict chosen = state_dict_of(*archive);
  collector.collect(*chosen.value, "", 0);
  strip_wrappers(collector.tensors);
  StoredTensors stored(path.string(), std::move(collector.tensors));
  stored.set_note(chosen.note);
  return stored;
}

}  // namespace opencloc
