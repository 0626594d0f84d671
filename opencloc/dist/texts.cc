#include "opencloc/dist/texts.h"

#include <cstring>

#include <torch/utils.h>

#include "opencloc/dist/group.h"

namespace opencloc::dist {

torch::Tensor bytes_of(const std::string& text) {
  auto bytes = torch::empty({static_cast<int64_t>(text.size())}, torch::kUInt8);
  if (!text.empty()) std::memcpy(bytes.data_ptr(), text.data(), text.size());
  return bytes;
}

std::string text_of(const torch::Tensor& bytes) {
  const auto whole = bytes.contiguous();
  return {static_cast<const char*>(whole.data_ptr()), static_cast<size_t>(whole.numel())};
}

std::string broadcast(Group& group, const std::string& text) {
  if (group.size() == 1) return text;
  auto length = torch::full({1}, static_cast<int64_t>(text.size()), torch::kInt64);
  group.broadcast(length);
  auto bytes =
      group.is_first() ? bytes_of(text) : torch::empty({length.item<int64_t>()}, torch::kUInt8);
  if (bytes.numel() > 0) group.broadcast(bytes);
  return text_of(bytes);
}

std::vector<std::string> gather(Group& group, const std::string& text) {
  const auto length = torch::full({1}, static_cast<int64_t>(text.size()), torch::kInt64);
  const auto lengths = group.gather(length).rows, bytes = group.gather(bytes_of(text)).rows;
  std::vector<std::string> texts;
  int64_t begin = 0;
  for (int64_t rank = 0; rank < group.size(); ++rank) {
    const auto count = lengths[rank].item<int64_t>();
    texts.push_back(text_of(bytes.narrow(0, begin, count)));
    begin += count;
  }
  return texts;
}

}  // namespace opencloc::dist
