#include "opencloc/encode/text_bank.h"

#include <algorithm>

namespace opencloc {
namespace {

void replace_all(std::string& text, std::string_view mark, const std::string& by) {
  for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + by.size()))
    text.replace(at, mark.size(), by);
}

std::string filled(const std::string& pattern, const std::string& name) {
  std::string text = pattern;
  const bool vowel = std::string_view("aeiou").find(name.substr(0, 1)) != std::string_view::npos;
  replace_all(text, "{article}", vowel && !name.empty() ? "an" : "a");
  replace_all(text, "{}", name);
  return text;
}

}  // namespace

int64_t TextBank::id_of(std::string_view text) {
  const auto [place, added] = id_of_.try_emplace(std::string(text), size());
  if (added) texts_.emplace_back(text);
  return place->second;
}

void TextBank::end_list() {
  const int64_t begin = list_ends_.empty() ? encoded_ : list_ends_.back();
  if (size() > begin) list_ends_.push_back(size());
}

void TextBank::encode_new() {
  end_list();
  if (list_ends_.empty()) return;
  std::vector<TokenRows> lists;
  int64_t begin = encoded_;
  for (const int64_t end : list_ends_) {
    lists.push_back(encoder_.tokenize({texts_.begin() + begin, texts_.begin() + end}).rows);
    begin = end;
  }
  list_ends_.clear();
  const auto fresh = torch::cat(encoder_.encode_lists(lists, group_));
  if (!rows_.defined() || rows_.size(0) < size()) {
    auto grown = torch::empty({std::max<int64_t>(2 * size(), 1024), fresh.size(1)});
    if (encoded_ > 0) grown.slice(0, 0, encoded_).copy_(rows_.slice(0, 0, encoded_));
    rows_ = grown;
  }
  rows_.slice(0, encoded_, size()).copy_(fresh);
  encoded_ = size();
}

torch::Tensor TextBank::embeddings(const std::vector<int64_t>& ids) {
  encode_new();
  return rows_.index_select(0, torch::tensor(ids, torch::kInt64));
}

torch::Tensor TextBank::unit_embeddings(const std::vector<int64_t>& ids) {
  return normalized(embeddings(ids));
}

torch::Tensor class_embeddings(TextEncoder& encoder, const std::vector<std::string>& classes,
                               const std::vector<std::string>& templates, dist::Group& group) {
  if (templates.empty()) return normalized(encoder.encode(classes, group));
  constexpr size_t kClassesAtATime = 64;
  std::vector<torch::Tensor> blocks;
  for (size_t begin = 0; begin < classes.size(); begin += kClassesAtATime) {
    const size_t end = std::min(begin + kClassesAtATime, classes.size());
    std::vector<std::string> prompts;
    for (size_t i = begin; i < end; ++i) {
      for (const auto& pattern : templates) prompts.push_back(filled(pattern, classes[i]));
    }
    const auto embeddings = normalized(encoder.encode(prompts, group))
                                .view({static_cast<int64_t>(end - begin),
                                       static_cast<int64_t>(templates.size()), -1});  // [c, t, E]
    blocks.push_back(normalized(embeddings.mean(1)));
  }
  return torch::cat(blocks);
}

}  // namespace opencloc
