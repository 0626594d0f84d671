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

torch::Tensor TextEncoder::encode(const TokenRows& rows) const {
  const torch::NoGradGuard no_grad;
  const TextGroups texts =
      group_texts({rows}, {.max_rows = batch_size_, .cut = tower_.padding_is_ignored});
  std::vector<torch::Tensor> parts = {torch::empty({0, tower_.embed_dim})};
  for (const auto& group : texts.groups)
    parts.push_back(tower_.encode(group).to(torch::kCPU));  // [u, E]
  return torch::cat(parts).index_select(0, texts.rows[0]);
}

}  // namespace opencloc
