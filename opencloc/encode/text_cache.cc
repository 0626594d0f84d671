#include "opencloc/encode/text_cache.h"

namespace opencloc {

torch::Tensor TextCache::embeddings(const std::vector<std::string>& texts) {
  if (rows_.size() > most_) rows_.clear();
  std::vector<std::string> fresh;
  for (const auto& text : texts) {
    if (!rows_.contains(text)) fresh.push_back(text);
  }
  const auto encoded = encoder_.encode(fresh);  // [new, E]
  for (size_t i = 0; i < fresh.size(); ++i)
    rows_[fresh[i]] = encoded[static_cast<int64_t>(i)].clone();
  std::vector<torch::Tensor> rows;
  for (const auto& text : texts) rows.push_back(rows_.at(text));
  return rows.empty() ? encoded : torch::stack(rows);
}

}  // namespace opencloc
