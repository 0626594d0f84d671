#include "opencloc/eval/text_bank.h"

#include <algorithm>
#include <numeric>

#include <torch/utils.h>

namespace opencloc {
namespace {

std::string filled(const std::string& pattern, const std::string& name) {
  std::string text = pattern;
  for (size_t at = text.find("{}"); at != std::string::npos;
       at = text.find("{}", at + name.size())) {
    text.replace(at, 2, name);
  }
  return text;
}

}  // namespace

TextEncoder::TextEncoder(Cloc& model, const Tokenizer& tokenizer, int64_t batch_size)
    : model_(model), tokenizer_(tokenizer), batch_size_(std::max<int64_t>(batch_size, 1)) {}

torch::Tensor TextEncoder::encode(const std::vector<std::string>& texts) {
  const torch::NoGradGuard no_grad;
  const auto count = static_cast<int64_t>(texts.size());
  const int64_t context = model_->config().text.context_length;
  auto ids = torch::empty({count, context}, torch::kInt64);  // [n, T]
  std::vector<int64_t> length(texts.size());
  for (int64_t i = 0; i < count; ++i) {
    const auto row = static_cast<size_t>(i);
    const TokenizedText tokens = tokenize(tokenizer_, texts[row], context);
    truncation_.add(tokens);
    length[row] = tokens.length;
    std::copy(tokens.ids.begin(), tokens.ids.end(), ids[i].data_ptr<int64_t>());
  }
  // Texts of like length together, each group cut after its longest where padding is ignored.
  std::vector<int64_t> order(texts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return length[static_cast<size_t>(a)] < length[static_cast<size_t>(b)];
  });

  const auto device = model_->logit_scale.device();
  auto embeddings = torch::empty({count, model_->config().embed_dim});  // [n, E]
  for (int64_t begin = 0; begin < count; begin += batch_size_) {
    const int64_t end = std::min(begin + batch_size_, count);
    const auto rows =
        torch::tensor(std::vector<int64_t>(order.begin() + begin, order.begin() + end));
    const int64_t longest = model_->config().text.padding_is_ignored()
                                ? length[static_cast<size_t>(order[static_cast<size_t>(end - 1)])]
                                : context;
    const auto group = ids.index_select(0, rows).slice(1, 0, longest).contiguous();
    embeddings.index_copy_(0, rows, model_->encode_text(group.to(device)).to(torch::kCPU));
  }
  return embeddings;
}

int64_t TextBank::id_of(std::string_view text) {
  const auto [place, added] = id_of_.try_emplace(std::string(text), size());
  if (added) texts_.emplace_back(text);
  return place->second;
}

void TextBank::encode_new() {
  if (encoded_ == size()) return;
  const auto fresh = encoder_.encode({texts_.begin() + encoded_, texts_.end()});
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
                               const std::vector<std::string>& templates) {
  if (templates.empty()) return normalized(encoder.encode(classes));
  constexpr size_t kClassesAtATime = 64;
  std::vector<torch::Tensor> blocks;
  for (size_t begin = 0; begin < classes.size(); begin += kClassesAtATime) {
    const size_t end = std::min(begin + kClassesAtATime, classes.size());
    std::vector<std::string> prompts;
    for (size_t i = begin; i < end; ++i) {
      for (const auto& pattern : templates) prompts.push_back(filled(pattern, classes[i]));
    }
    const auto embeddings = normalized(encoder.encode(prompts))
                                .view({static_cast<int64_t>(end - begin),
                                       static_cast<int64_t>(templates.size()), -1});  // [c, t, E]
    blocks.push_back(normalized(embeddings.mean(1)));
  }
  return torch::cat(blocks);
}

}  // namespace opencloc
