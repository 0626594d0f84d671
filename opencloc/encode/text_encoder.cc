#include "opencloc/encode/text_encoder.h"

#include <algorithm>
#include <utility>

#include <torch/utils.h>

namespace opencloc {

TextTowerUse text_tower_of(Cloc& model) {
  const auto& config = model->config();
  return {config.text.context_length, config.embed_dim, config.text.padding_is_ignored(),
          [&model](const torch::Tensor& ids) {
            return model->encode_text(ids.to(model->logit_scale.device()));
          }};
}

TextEncoder::TextEncoder(TextTowerUse tower, const Tokenizer& tokenizer, int64_t batch_size)
    : tower_(std::move(tower)),
      tokenizer_(tokenizer),
      batch_size_(std::max<int64_t>(batch_size, 1)) {}

TextEncoder::Tokens TextEncoder::tokenize(const std::vector<std::string>& texts) {
  const auto count = static_cast<int64_t>(texts.size());
  Tokens result{{torch::empty({count, tower_.context_length}, torch::kInt64),
                 torch::empty({count}, torch::kInt64)},
                {}};
  auto* ids = result.rows.ids.data_ptr<int64_t>();
  auto* length = result.rows.length.data_ptr<int64_t>();
  for (const auto& text : texts) {
    const TokenizedText tokens = opencloc::tokenize(tokenizer_, text, tower_.context_length);
    truncation_.add(tokens);
    result.cut.push_back(tokens.truncated());
    *length++ = tokens.length;
    ids = std::copy(tokens.ids.begin(), tokens.ids.end(), ids);
  }
  return result;
}

std::vector<torch::Tensor> TextEncoder::encode_lists(const std::vector<TokenRows>& lists,
                                                     dist::Group& group) const {
  const torch::NoGradGuard no_grad;
  std::vector<TextGroups> grouped;
  std::vector<torch::Tensor> all;  // groups of texts [u, L] of all lists
  for (const auto& list : lists) {
    grouped.push_back(
        group_texts({list}, {.max_rows = batch_size_, .cut = tower_.padding_is_ignored}));
    const auto& own = grouped.back().groups;
    all.insert(all.end(), own.begin(), own.end());
  }
  const auto share = dist::share_of(static_cast<int64_t>(all.size()), group);
  std::vector<torch::Tensor> parts = {torch::empty({0, tower_.embed_dim})};
  for (int64_t i = share.begin; i < share.end; ++i)
    parts.push_back(tower_.encode(all[static_cast<size_t>(i)]).to(torch::kCPU));  // [u, E]
  const auto rows = group.gather(torch::cat(parts)).rows;                         // [all u, E]
  std::vector<torch::Tensor> embeddings;
  int64_t begin = 0;
  for (const auto& list : grouped) {
    embeddings.push_back(rows.narrow(0, begin, list.size()).index_select(0, list.rows[0]));
    begin += list.size();
  }
  return embeddings;
}

}  // namespace opencloc
