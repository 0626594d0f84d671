#include "opencloc/checkpoint/file/safetensors_header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <unordered_set>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"

namespace opencloc {
namespace {

struct TypeName {
  TensorType type;
  const char* name;
  size_t bytes;
};
constexpr std::array<TypeName, 10> kTypes{{{TensorType::kF64, "F64", 8},
                                           {TensorType::kF32, "F32", 4},
                                           {TensorType::kF16, "F16", 2},
                                           {TensorType::kBF16, "BF16", 2},
                                           {TensorType::kI64, "I64", 8},
                                           {TensorType::kI32, "I32", 4},
                                           {TensorType::kI16, "I16", 2},
                                           {TensorType::kI8, "I8", 1},
                                           {TensorType::kU8, "U8", 1},
                                           {TensorType::kBool, "BOOL", 1}}};

constexpr uint64_t kMaxNumber = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());

// Reads {"NAME": {"dtype": , "shape": [], "data_offsets": []}, "__metadata__": {"K": "V"}} event by
// event: no tree is built, so that a hostile header costs no more than its length.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  HeaderReader(SafetensorsHeader& header, std::string_view where)
      : header_(header), where_(where) {}

  bool start_object(size_t) override {
    switch (state_) {
      case State::kStart:
        state_ = State::kTop;
        return true;
      case State::kEntry:
        state_ = name_ == "__metadata__" ? State::kMetadata : State::kTensor;
        keys_.clear();
        if (state_ == State::kTensor) header_.tensors.emplace_back().name = name_;
        return true;
      default:
        refuse("an object where none belongs");
    }
  }

  bool key(string_t& text) override {
    if (state_ == State::kTop) {
      if (!names_.insert(text).second) refuse("the name '" + text + "' occurs twice");
      name_ = text;
      state_ = State::kEntry;
      return true;
    }
    if (!keys_.insert(text).second) refuse("the key '" + text + "' occurs twice");
    key_ = text;
    if (state_ == State::kTensor && key_ != "dtype" && key_ != "shape" && key_ != "data_offsets")
      refuse("unknown key '" + key_ + "'");
    return true;
  }

  bool end_object() override {
    if (state_ == State::kTensor && keys_.size() != 3)
      refuse("dtype, shape or offsets are missing");
    state_ = state_ == State::kTop ? State::kEnd : State::kTop;
    return true;
  }

  bool start_array(size_t) override {
    if (state_ != State::kTensor || key_ == "dtype") refuse("an array where none belongs");
    state_ = State::kArray;
    offsets_.clear();
    return true;
  }

  bool end_array() override {
    if (key_ == "data_offsets") {
      if (offsets_.size() != 2) refuse("data_offsets are not two numbers");
      header_.tensors.back().begin = offsets_[0];
      header_.tensors.back().end = offsets_[1];
    }
    state_ = State::kTensor;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ != State::kArray) refuse("a number where none belongs");
    if (value > kMaxNumber) refuse("a number is too large");
    if (key_ == "shape") {
      auto& shape = header_.tensors.back().shape;
      if (shape.size() == kMaxTensorDims) refuse("more than 16 dimensions");
      shape.push_back(static_cast<int64_t>(value));
    } else {
      if (offsets_.size() == 2) refuse("data_offsets are not two numbers");
      offsets_.push_back(value);
    }
    return true;
  }

  bool string(string_t& text) override {
    if (state_ == State::kMetadata) {
      header_.metadata.emplace_back(key_, text);
      return true;
    }
    if (state_ != State::kTensor || key_ != "dtype") refuse("a string where none belongs");
    for (const auto& type : kTypes) {
      if (text != type.name) continue;
      header_.tensors.back().type = type.type;
      return true;
    }
    refuse_type(text);
  }

  bool null() override { refuse("null where none belongs"); }
  bool boolean(bool) override { refuse("true or false where none belongs"); }
  bool number_integer(number_integer_t) override { refuse("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { refuse("a fractional number"); }
  bool binary(binary_t&) override { refuse("binary data where none belongs"); }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    throw Error::input(std::string("header is not valid JSON (") + e.what() + ")", where_,
                       "the file is damaged or no safetensors file: get it again");
  }

 private:
  enum class State { kStart, kTop, kEntry, kTensor, kMetadata, kArray, kEnd };

  [[noreturn]] void refuse(const std::string& what) const {
    throw Error::input("bad safetensors header: " + what,
                       std::string(where_) + (name_.empty() ? "" : ": " + name_),
                       "the file is damaged or hostile: get it again");
  }

  // Types that safetensors has and OpenCLOC has not are no damage.
  [[noreturn]] void refuse_type(const std::string& text) const {
    const std::string place = std::string(where_) + ": " + name_;
    if (text.starts_with("F8_") || text.starts_with("F6_") || text.starts_with("F4")) {
      throw Error::input(
          "holds floats of " + text.substr(1, 1) + " bits (" + text + "), which are not read",
          place, "get the model in F16, BF16 or F32");
    }
    constexpr std::string_view kOthers[] = {"U16", "U32", "U64", "C64", "C128"};
    if (std::ranges::find(kOthers, text) != std::end(kOthers)) {
      throw Error::input("holds values of type " + text + ", which are not read", place,
                         "get the model in F16, BF16 or F32");
    }
    refuse("dtype '" + text + "' is not known");
  }

  SafetensorsHeader& header_;
  const std::string_view where_;
  State state_ = State::kStart;
  std::string name_;                       // of the tensor that is read
  std::string key_;                        // within it
  std::unordered_set<std::string> names_;  // seen so far, at the top
  std::unordered_set<std::string> keys_;   // seen so far, in the object that is read
  std::vector<uint64_t> offsets_;
};

// Bytes a tensor of this shape takes; none when they, or torch's strides (which count empty sides
// as 1), exceed 2^63.
std::optional<uint64_t> size_in_bytes(const TensorInfo& tensor) {
  uint64_t size = bytes_of(tensor.type), span = size;
  for (const int64_t side : tensor.shape) {
    const auto count = static_cast<uint64_t>(side);
    if (__builtin_mul_overflow(span, std::max(count, uint64_t{1}), &span) || span > kMaxNumber)
      return std::nullopt;
    size *= count;
  }
  return size;
}

void check_places(SafetensorsHeader& header, uint64_t data_bytes, std::string_view where) {
  const auto refuse = [&](const TensorInfo& tensor, const char* what) {
    throw Error::input(std::string("bad safetensors header: ") + what,
                       std::string(where) + ": " + tensor.name,
                       "the file is damaged or cut short: get it again");
  };
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const TensorInfo& a, const TensorInfo& b) {
                     return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
                   });
  uint64_t filled = 0;
  for (const auto& tensor : header.tensors) {
    if (tensor.end < tensor.begin) refuse(tensor, "the data ends before it begins");
    if (tensor.end > data_bytes) refuse(tensor, "the data reaches beyond the end of the file");
    const auto size = size_in_bytes(tensor);
    if (!size) refuse(tensor, "the shape overflows");
    if (*size != tensor.end - tensor.begin) refuse(tensor, "shape and data differ in size");
    if (tensor.begin < filled) refuse(tensor, "the data overlaps another tensor's");
    if (tensor.begin > filled) refuse(tensor, "there is a gap before the data");
    filled = tensor.end;
  }
  if (filled != data_bytes) {
    throw Error::input("bad safetensors header: bytes after the last tensor's data", where,
                       "the file is damaged: get it again");
  }
}

}  // namespace

const char* to_string(TensorType type) { return kTypes[static_cast<size_t>(type)].name; }
size_t bytes_of(TensorType type) { return kTypes[static_cast<size_t>(type)].bytes; }

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes,
                                           std::string_view where) {
  SafetensorsHeader header;
  HeaderReader reader(header, where);
  Json::sax_parse(json, &reader);
  check_places(header, data_bytes, where);
  return header;
}

std::string format_safetensors_header(const SafetensorsHeader& header) {
  // Text by hand: a tree of a million names would cost more than the tensors.
  std::string text = "{";
  const auto comma = [&] {
    if (text.size() > 1) text += ',';
  };
  if (!header.metadata.empty()) {
    Json metadata = Json::object();
    for (const auto& [key, value] : header.metadata) metadata[key] = value;
    text += "\"__metadata__\":" + dump_json(metadata);
  }
  for (const auto& tensor : header.tensors) {
    comma();
    text += dump_json(tensor.name) + ":{\"dtype\":\"" + to_string(tensor.type) +
            "\",\"shape\":" + dump_json(tensor.shape) +
            ",\"data_offsets\":" + dump_json({tensor.begin, tensor.end}) + '}';
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace opencloc
