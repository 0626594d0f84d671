// format_gguf_header(): the other half of gguf_header.h.
#include "opencloc/checkpoint/file/gguf_header.h"

namespace opencloc {
namespace {

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put(std::string& out, std::string_view text) {
  put(out, uint64_t{text.size()});
  out += text;
}
void put(std::string& out, GgufKind kind) { put(out, static_cast<uint32_t>(kind)); }

// Type and value.
struct PutValue {
  std::string& out;
  void operator()(uint32_t value) const { put(out, GgufKind::kU32), put<uint32_t>(out, value); }
  void operator()(float value) const { put(out, GgufKind::kF32), put<float>(out, value); }
  void operator()(bool value) const { put(out, GgufKind::kBool), put<uint8_t>(out, value); }
  void operator()(const std::string& text) const {
    put(out, GgufKind::kString);
    put(out, std::string_view(text));
  }
  void begin_array(GgufKind element, size_t count) const {
    put(out, GgufKind::kArray);
    put(out, element);
    put(out, uint64_t{count});
  }
  void operator()(const std::vector<float>& values) const {
    begin_array(GgufKind::kF32, values.size());
    for (const float value : values) put<float>(out, value);
  }
  void operator()(const std::vector<uint32_t>& values) const {
    begin_array(GgufKind::kU32, values.size());
    for (const uint32_t value : values) put<uint32_t>(out, value);
  }
  void operator()(const std::vector<int32_t>& values) const {
    begin_array(GgufKind::kI32, values.size());
    for (const int32_t value : values) put<int32_t>(out, value);
  }
  void operator()(const std::vector<std::string>& texts) const {
    begin_array(GgufKind::kString, texts.size());
    for (const auto& text : texts) put(out, std::string_view(text));
  }
  void operator()(const std::vector<uint8_t>& bytes) const {
    begin_array(GgufKind::kU8, bytes.size());
    out.append(bytes.begin(), bytes.end());
  }
};

}  // namespace

std::string format_gguf_header(const std::vector<std::pair<std::string, GgufOut>>& keys,
                               const std::vector<GgufTensor>& tensors) {
  std::string out = "GGUF";
  put<uint32_t>(out, 3);
  put(out, uint64_t{tensors.size()});
  put(out, uint64_t{keys.size()});
  for (const auto& [key, value] : keys) {
    put(out, std::string_view(key));
    std::visit(PutValue{out}, value);
  }
  for (const auto& tensor : tensors) {
    put(out, std::string_view(tensor.name));
    put(out, static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) put(out, static_cast<uint64_t>(tensor.shape[i]));
    put(out, static_cast<uint32_t>(tensor.type));
    put(out, tensor.begin);
  }
  out.append((kGgufAlignment - out.size() % kGgufAlignment) % kGgufAlignment, '\0');
  return out;
}

}  // namespace opencloc
