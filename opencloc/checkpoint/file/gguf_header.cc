#include "opencloc/checkpoint/file/gguf_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <optional>
#include <unordered_set>

#include "opencloc/checkpoint/file/byte_reader.h"

namespace opencloc {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint64_t kMaxName = 65535;
constexpr uint64_t kMaxGgufDims = 4;
constexpr uint64_t kMinKeyBytes = 8 + 4 + 1;             // an empty name, a type, a byte
constexpr uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;  // an empty name, one side
constexpr uint64_t kMaxCount = 1'000'000;                // of keys, of tensors
constexpr uint64_t kMaxAlignment = uint64_t{1} << 20;
constexpr uint64_t kMaxSize = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
constexpr const char* kMend = "the file is damaged or hostile: get it again";

[[noreturn]] void refuse_gguf(const std::string& what, std::string_view where) {
  throw Error::input("bad GGUF header: " + what, where, kMend);
}

// Bytes of a value; 0 for those that say their length.
uint64_t fixed_bytes(GgufKind kind) {
  switch (kind) {
    case GgufKind::kU8:
    case GgufKind::kI8:
    case GgufKind::kBool:
      return 1;
    case GgufKind::kU16:
    case GgufKind::kI16:
      return 2;
    case GgufKind::kU32:
    case GgufKind::kI32:
    case GgufKind::kF32:
      return 4;
    case GgufKind::kU64:
    case GgufKind::kI64:
    case GgufKind::kF64:
      return 8;
    case GgufKind::kString:
    case GgufKind::kArray:
      break;
  }
  return 0;
}

GgufKind kind_of(uint32_t number, std::string_view where) {
  if (number > static_cast<uint32_t>(GgufKind::kF64))
    refuse_gguf("value type " + std::to_string(number) + " is not known", where);
  return static_cast<GgufKind>(number);
}

std::string_view read_string(ByteReader& reader) { return reader.take(reader.number<uint64_t>()); }

std::string read_name(ByteReader& reader, const char* what, std::string_view where) {
  const auto size = reader.number<uint64_t>();
  if (size == 0 || size > kMaxName)
    refuse_gguf(std::string(what) + "'s name has " + std::to_string(size) + " bytes", where);
  return std::string(reader.take(size));
}

GgufValue read_value(ByteReader& reader, std::string_view where) {
  GgufValue value;
  value.kind = kind_of(reader.number<uint32_t>(), where);
  if (value.kind == GgufKind::kString) {
    value.bytes = read_string(reader);
    return value;
  }
  if (value.kind != GgufKind::kArray) {
    value.bytes = reader.take(fixed_bytes(value.kind));
    return value;
  }
  value.element = kind_of(reader.number<uint32_t>(), where);
  value.count = reader.number<uint64_t>();
  if (value.element == GgufKind::kArray) refuse_gguf("arrays of arrays are not read", where);
  const uint64_t least = value.element == GgufKind::kString ? 8 : fixed_bytes(value.element);
  if (value.count > reader.left() / least)
    refuse_gguf("an array of " + std::to_string(value.count) + " values does not fit the file",
                where);
  if (value.element != GgufKind::kString) {
    value.bytes = reader.take(value.count * least);
    return value;
  }
  value.strings.reserve(value.count);
  for (uint64_t i = 0; i < value.count; ++i) value.strings.push_back(read_string(reader));
  return value;
}

// Names of ggml's other types, for messages: by number.
std::string type_name(uint32_t number) {
  constexpr std::array<const char*, 9> kNames = {"F32",   "F16",  "Q4_0", "Q4_1", nullptr,
                                                 nullptr, "Q5_0", "Q5_1", "Q8_0"};
  if (number < kNames.size() && kNames[number] != nullptr) return kNames[number];
  return "number " + std::to_string(number);
}

GgufType tensor_type(uint32_t number, const std::string& name, std::string_view where) {
  for (const auto type :
       {GgufType::kF32, GgufType::kF16, GgufType::kQ8_0, GgufType::kI32, GgufType::kBF16}) {
    if (static_cast<uint32_t>(type) == number) return type;
  }
  throw Error::input("tensor '" + name + "' is of ggml's type " + type_name(number), where,
                     "F32, F16, BF16 and Q8_0 are read: make such a file from the original model");
}

// Number of values; none when it, or torch's strides, exceed 2^63.
std::optional<uint64_t> values_of(const std::vector<int64_t>& shape) {
  uint64_t count = 1, span = 8;
  for (const int64_t side : shape) {
    const auto sides = static_cast<uint64_t>(side);
    if (__builtin_mul_overflow(span, std::max(sides, uint64_t{1}), &span) || span > kMaxSize)
      return std::nullopt;
    count *= sides;
  }
  return count;
}

GgufTensor read_tensor(ByteReader& reader, std::string_view where) {
  GgufTensor tensor;
  tensor.name = read_name(reader, "a tensor", where);
  const auto dims = reader.number<uint32_t>();
  if (dims > kMaxGgufDims)
    refuse_gguf("tensor '" + tensor.name + "' has " + std::to_string(dims) + " dimensions", where);
  for (uint32_t i = 0; i < dims; ++i) {
    const auto side = reader.number<uint64_t>();
    if (side > kMaxSize) refuse_gguf("the shape of '" + tensor.name + "' overflows", where);
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(side));
  }
  tensor.type = tensor_type(reader.number<uint32_t>(), tensor.name, where);
  tensor.begin = reader.number<uint64_t>();
  const auto values = values_of(tensor.shape);
  if (!values) refuse_gguf("the shape of '" + tensor.name + "' overflows", where);
  if (tensor.type == GgufType::kQ8_0 &&
      (tensor.shape.empty() || tensor.shape.back() % static_cast<int64_t>(kQ8Block) != 0)) {
    refuse_gguf("rows of '" + tensor.name + "' are no multiple of 32 long, as Q8_0 wants", where);
  }
  tensor.size = bytes_of(tensor.type, *values);
  return tensor;
}

void check_places(std::vector<GgufTensor>& tensors, uint64_t data_bytes, uint64_t alignment,
                  std::string_view where) {
  std::vector<const GgufTensor*> order;
  for (const auto& tensor : tensors) order.push_back(&tensor);
  std::ranges::sort(order, [](const auto* a, const auto* b) {
    return a->begin != b->begin ? a->begin < b->begin : a->size < b->size;
  });
  uint64_t filled = 0;
  for (const auto* tensor : order) {
    if (tensor->begin % alignment != 0) refuse_gguf("'" + tensor->name + "' is not aligned", where);
    if (tensor->begin > data_bytes || tensor->size > data_bytes - tensor->begin)
      refuse_gguf("'" + tensor->name + "' reaches beyond the end of the file", where);
    if (tensor->begin < filled)
      refuse_gguf("'" + tensor->name + "' overlaps another tensor", where);
    filled = tensor->begin + tensor->size;
  }
}

template <typename T>
T number_at(std::string_view bytes, size_t at = 0) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::optional<double> as_number(GgufKind kind, std::string_view bytes, size_t at = 0) {
  switch (kind) {
    case GgufKind::kU8:
      return number_at<uint8_t>(bytes, at);
    case GgufKind::kI8:
      return number_at<int8_t>(bytes, at);
    case GgufKind::kU16:
      return number_at<uint16_t>(bytes, at);
    case GgufKind::kI16:
      return number_at<int16_t>(bytes, at);
    case GgufKind::kU32:
      return number_at<uint32_t>(bytes, at);
    case GgufKind::kI32:
      return number_at<int32_t>(bytes, at);
    case GgufKind::kF32:
      return static_cast<double>(number_at<float>(bytes, at));
    case GgufKind::kU64:
      return static_cast<double>(number_at<uint64_t>(bytes, at));
    case GgufKind::kI64:
      return static_cast<double>(number_at<int64_t>(bytes, at));
    case GgufKind::kF64:
      return number_at<double>(bytes, at);
    case GgufKind::kBool:
    case GgufKind::kString:
    case GgufKind::kArray:
      break;
  }
  return std::nullopt;
}

}  // namespace

const char* to_string(GgufType type) {
  switch (type) {
    case GgufType::kF32:
      return "F32";
    case GgufType::kF16:
      return "F16";
    case GgufType::kQ8_0:
      return "Q8_0";
    case GgufType::kI32:
      return "I32";
    case GgufType::kBF16:
      break;
  }
  return "BF16";
}

uint64_t bytes_of(GgufType type, uint64_t values) {
  switch (type) {
    case GgufType::kF32:
    case GgufType::kI32:
      return 4 * values;
    case GgufType::kF16:
    case GgufType::kBF16:
      return 2 * values;
    case GgufType::kQ8_0:
      break;
  }
  return values / kQ8Block * kQ8BlockBytes;
}

bool GgufHeader::looks_like_one(std::span<const std::byte> file) {
  return file.size() >= kMagic.size() && ByteReader(file, "").take(kMagic.size()) == kMagic;
}

GgufHeader::GgufHeader(std::span<const std::byte> file, std::string_view where) : where_(where) {
  static_assert(std::endian::native == std::endian::little, "GGUF is read as little-endian");
  ByteReader reader(file, where);
  if (reader.take(kMagic.size()) != kMagic)
    throw Error::input("is no GGUF file", where, "check where the file comes from");
  version_ = reader.number<uint32_t>();
  if (version_ != 2 && version_ != 3) {
    throw Error::input((version_ & 0xffff) == 0 ? "is a big-endian GGUF file"
                                                : "GGUF version " + std::to_string(version_),
                       where, "versions 2 and 3, little-endian, are read");
  }
  const auto tensor_count = reader.number<uint64_t>();
  const auto key_count = reader.number<uint64_t>();
  if (key_count > std::min(kMaxCount, reader.left() / kMinKeyBytes) ||
      tensor_count > std::min(kMaxCount, reader.left() / kMinTensorBytes)) {
    refuse_gguf("it counts more keys or tensors than the file can hold", where);
  }

  std::unordered_set<std::string> names;
  for (uint64_t i = 0; i < key_count; ++i) {
    std::string key = read_name(reader, "a key", where);
    if (!names.insert(key).second) refuse_gguf("the key '" + key + "' occurs twice", where);
    keys_.emplace_back(std::move(key), read_value(reader, where));
  }
  names.clear();
  for (uint64_t i = 0; i < tensor_count; ++i) {
    tensors_.push_back(read_tensor(reader, where));
    if (!names.insert(tensors_.back().name).second)
      refuse_gguf("the tensor '" + tensors_.back().name + "' occurs twice", where);
  }

  const int64_t alignment = integer("general.alignment", kGgufAlignment);
  if (alignment < 1 || static_cast<uint64_t>(alignment) > kMaxAlignment ||
      !std::has_single_bit(static_cast<uint64_t>(alignment))) {
    refuse_gguf("general.alignment is no power of two", where);
  }
  const auto step = static_cast<uint64_t>(alignment);
  const uint64_t data_start = (reader.position() + step - 1) / step * step;
  if (tensors_.empty()) return;
  if (data_start > file.size()) refuse_gguf("the data is missing", where);
  check_places(tensors_, file.size() - data_start, step, where);
  for (auto& tensor : tensors_) tensor.begin += data_start;
}

const GgufValue* GgufHeader::find(std::string_view key) const {
  for (const auto& [name, value] : keys_) {
    if (name == key) return &value;
  }
  return nullptr;
}

void GgufHeader::wrong_type(std::string_view key, const char* expected) const {
  throw Error::input("key '" + std::string(key) + "' is not " + expected, where_, kMend);
}

double GgufHeader::number(std::string_view key, double fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return fallback;
  const auto number = as_number(value->kind, value->bytes);
  if (!number) wrong_type(key, "a number");
  return *number;
}

int64_t GgufHeader::integer(std::string_view key, int64_t fallback) const {
  const double value = number(key, static_cast<double>(fallback));
  // Above 2^53 a double is no longer exact; no size comes near.
  if (!(value >= -9e15 && value <= 9e15) ||
      value != static_cast<double>(static_cast<int64_t>(value)))
    wrong_type(key, "a whole number");
  return static_cast<int64_t>(value);
}

bool GgufHeader::boolean(std::string_view key, bool fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return fallback;
  if (value->kind != GgufKind::kBool || number_at<uint8_t>(value->bytes) > 1)
    wrong_type(key, "true or false");
  return number_at<uint8_t>(value->bytes) == 1;
}

std::string GgufHeader::text(std::string_view key, std::string_view fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::string(fallback);
  if (value->kind != GgufKind::kString) wrong_type(key, "a string");
  return std::string(value->bytes);
}

std::vector<double> GgufHeader::numbers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return {};
  if (value->kind != GgufKind::kArray || value->count > 64) wrong_type(key, "a short list");
  std::vector<double> result;
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto number = as_number(value->element, value->bytes, i * fixed_bytes(value->element));
    if (!number) wrong_type(key, "a list of numbers");
    result.push_back(*number);
  }
  return result;
}

}  // namespace opencloc
