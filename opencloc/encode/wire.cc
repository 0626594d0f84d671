#include "opencloc/encode/wire.h"

#include <cstring>

#include <torch/utils.h>

namespace opencloc {

std::string pack(const std::vector<std::string>& texts) {
  size_t total = 0;
  for (const auto& text : texts) total += sizeof(uint64_t) + text.size();
  std::string bytes;
  bytes.reserve(total);
  for (const auto& text : texts) {
    const uint64_t size = text.size();
    bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
    bytes += text;
  }
  return bytes;
}

std::vector<std::string> unpack(const std::string& bytes) {
  std::vector<std::string> texts;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t size = 0;
    std::memcpy(&size, bytes.data() + at, sizeof(size));
    texts.push_back(bytes.substr(at + sizeof(size), size));
    at += sizeof(size) + size;
  }
  return texts;
}

std::string pack_tensors(const NamedTensors& tensors) {
  std::vector<std::string> texts;
  for (const auto& [name, tensor] : tensors) {
    const Json about = {name, static_cast<int>(tensor.scalar_type()), tensor.sizes().vec()};
    const auto whole = tensor.contiguous();
    texts.push_back(dump_json(about));
    texts.emplace_back(static_cast<const char*>(whole.data_ptr()), whole.nbytes());
  }
  return pack(texts);
}

NamedTensors unpack_tensors(const std::string& bytes) {
  NamedTensors tensors;
  const auto texts = unpack(bytes);
  for (size_t i = 0; i + 1 < texts.size(); i += 2) {
    const Json about = parse_json(texts[i], "another process");
    auto tensor = torch::empty(about[2].get<std::vector<int64_t>>(),
                               static_cast<torch::ScalarType>(about[1].get<int>()));
    if (tensor.numel() > 0) std::memcpy(tensor.data_ptr(), texts[i + 1].data(), tensor.nbytes());
    tensors.emplace_back(about[0].get<std::string>(), tensor);
  }
  return tensors;
}

std::string pack_record(const Record& record) {
  std::vector<std::string> texts = {record.key, record.extension, record.image, record.alt_text,
                                    dump_json(record_json(record))};
  for (const auto& member : record.others) {
    texts.push_back(member.extension);
    texts.push_back(member.bytes);
  }
  return pack(texts);
}

Record unpack_record(const std::string& bytes) {
  auto texts = unpack(bytes);
  Record record;
  record.key = std::move(texts[0]);
  record.extension = std::move(texts[1]);
  record.image = std::move(texts[2]);
  record.alt_text = std::move(texts[3]);
  parse_record_json(texts[4], record.key, record);
  for (size_t i = 5; i + 1 < texts.size(); i += 2)
    record.others.push_back({std::move(texts[i]), std::move(texts[i + 1])});
  return record;
}

}  // namespace opencloc
