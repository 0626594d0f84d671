#include "opencloc/checkpoint/file/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "opencloc/base/error.h"
#include "opencloc/base/not_fetched.h"

namespace opencloc {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr size_t kLengthBytes = 8;
constexpr size_t kChunkBytes = size_t{1} << 20;

TensorType tensor_type(torch::ScalarType type, const std::string& name) {
  for (const auto candidate :
       {TensorType::kF64, TensorType::kF32, TensorType::kF16, TensorType::kBF16, TensorType::kI64,
        TensorType::kI32, TensorType::kI16, TensorType::kI8, TensorType::kU8, TensorType::kBool}) {
    if (scalar_type(candidate) == type) return candidate;
  }
  throw Error::input(std::string("type ") + torch::toString(type) + " cannot be stored", name,
                     "convert the tensor first");
}

// Any other byte in a bool is undefined behaviour downstream.
void check_bools(std::span<const std::byte> bytes, const std::string& where) {
  if (std::any_of(bytes.begin(), bytes.end(), [](std::byte b) { return b > std::byte{1}; }))
    throw Error::input("BOOL tensor holds values other than 0 and 1", where,
                       "the file is damaged: get it again");
}

}  // namespace

torch::ScalarType scalar_type(TensorType type) {
  switch (type) {
    case TensorType::kF64:
      return torch::kFloat64;
    case TensorType::kF32:
      return torch::kFloat32;
    case TensorType::kF16:
      return torch::kFloat16;
    case TensorType::kBF16:
      return torch::kBFloat16;
    case TensorType::kI64:
      return torch::kInt64;
    case TensorType::kI32:
      return torch::kInt32;
    case TensorType::kI16:
      return torch::kInt16;
    case TensorType::kI8:
      return torch::kInt8;
    case TensorType::kU8:
      return torch::kUInt8;
    case TensorType::kBool:
      break;
  }
  return torch::kBool;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path.string()), map_(std::make_shared<MappedFile>(path)) {
  const auto bytes = map_->bytes();
  require_fetched(bytes, path);
  uint64_t length = 0;
  if (bytes.size() >= kLengthBytes) std::memcpy(&length, bytes.data(), kLengthBytes);
  if (bytes.size() < kLengthBytes || length > bytes.size() - kLengthBytes) {
    throw Error::input("too short for its header", path_,
                       "the file is cut short or no safetensors file: get it again");
  }
  if (length > kMaxHeaderBytes) {
    throw Error::input("header of " + std::to_string(length) + " bytes is over the limit of " +
                           std::to_string(kMaxHeaderBytes),
                       path_, "the file is damaged or hostile: get it again");
  }
  data_start_ = kLengthBytes + length;
  const std::string_view json(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  header_ = parse_safetensors_header(json, bytes.size() - data_start_, path_);
  for (size_t i = 0; i < header_.tensors.size(); ++i) index_[header_.tensors[i].name] = i;
}

std::string SafetensorsFile::metadata(std::string_view key) const {
  for (const auto& [name, value] : header_.metadata) {
    if (name == key) return value;
  }
  return {};
}

const TensorInfo* SafetensorsFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &header_.tensors[found->second];
}

torch::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const TensorInfo* info = find(name);
  if (info == nullptr)
    throw Error::input("no tensor '" + name + "'", path_, "check where the file comes from");
  return tensor(*info);
}

torch::Tensor SafetensorsFile::tensor(const TensorInfo& info) const {
  const auto bytes = map_->bytes().subspan(data_start_ + info.begin, info.end - info.begin);
  if (info.type == TensorType::kBool) check_bools(bytes, path_ + ": " + info.name);
  const auto options = torch::TensorOptions().dtype(scalar_type(info.type));
  const bool aligned = reinterpret_cast<uintptr_t>(bytes.data()) % bytes_of(info.type) == 0;
  if (bytes.empty() || !aligned) {
    auto copy = torch::empty(info.shape, options);
    if (!bytes.empty()) std::memcpy(copy.data_ptr(), bytes.data(), bytes.size());
    return copy;
  }
  return torch::from_blob(
      const_cast<std::byte*>(bytes.data()), info.shape, [map = map_](void*) {}, options);
}

namespace {

// Passes the bytes of the file to write(data, size) from front to back.
template <typename Write>
void emit(const NamedTensors& tensors, const TensorMetadata& metadata, const std::string& where,
          const Write& write) {
  struct Item {
    TensorInfo info;
    const torch::Tensor* tensor;
  };
  std::vector<Item> items;
  for (const auto& [name, tensor] : tensors) {
    items.push_back(
        {{name, tensor_type(tensor.scalar_type(), name), tensor.sizes().vec(), 0, 0}, &tensor});
  }
  // Widest first keeps every tensor aligned.
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    const size_t wide_a = bytes_of(a.info.type), wide_b = bytes_of(b.info.type);
    return wide_a != wide_b ? wide_a > wide_b : a.info.name < b.info.name;
  });

  SafetensorsHeader header;
  header.metadata = metadata;
  uint64_t place = 0;
  for (auto& item : items) {
    item.info.begin = place;
    item.info.end = place += item.tensor->numel() * bytes_of(item.info.type);
    header.tensors.push_back(item.info);
  }
  const std::string text = format_safetensors_header(header);
  // The reader's own checks, so that nothing is written that cannot be read (names given twice, a
  // header over the limit).
  parse_safetensors_header(text, place, where);
  if (text.size() > kMaxHeaderBytes)
    throw Error::input("too many names for one file", where, "write several files");

  const uint64_t length = text.size();
  write(reinterpret_cast<const char*>(&length), sizeof length);
  write(text.data(), text.size());
  for (const auto& item : items) {
    const auto data = item.tensor->detach().cpu().contiguous();
    const auto* bytes = static_cast<const char*>(data.data_ptr());
    for (size_t done = 0, size = data.nbytes(); done < size; done += kChunkBytes)
      write(bytes + done, std::min(kChunkBytes, size - done));
  }
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const TensorMetadata& metadata) {
  AtomicFile file(path);
  emit(tensors, metadata, path.string(),
       [&](const char* data, size_t size) { file.write(data, size); });
  file.commit();
}

std::string safetensors_bytes(const NamedTensors& tensors, const TensorMetadata& metadata) {
  std::string bytes;
  emit(tensors, metadata, "tensors",
       [&](const char* data, size_t size) { bytes.append(data, size); });
  return bytes;
}

}  // namespace opencloc
