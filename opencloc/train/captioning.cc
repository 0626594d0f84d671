#include "opencloc/train/captioning.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <torch/utils.h>

namespace opencloc {
namespace {

struct Pairs {
  torch::Tensor pixels;  // [B, 3, H, W]
  torch::Tensor ids;     // [B, T]

  int64_t size() const { return pixels.size(0); }
  Pairs slice(int64_t begin, int64_t end) const {
    return {pixels.slice(0, begin, end), ids.slice(0, begin, end)};
  }
  // What follows each place but the last, padding included.
  torch::Tensor next_ids() const { return ids.slice(1, 1); }  // [B, T - 1]
};

struct Encoded {
  ImageFeatures image;
  TextFeatures text;
};

Encoded encode(Cloc& model, const Pairs& pairs) {
  return {model->encode_image(pairs.pixels), model->text->encode(pairs.ids)};
}

// The mean over the words of these captions; `words`: how many they are.
torch::Tensor loss_of_captions(Cloc& model, const Pairs& pairs, const Encoded& encoded,
                               int64_t& words) {
  const auto& decoder = model->text_decoder;
  const auto labels = pairs.next_ids().reshape(-1);
  const auto rows = labels.ne(kPadId).nonzero().squeeze(1);  // [n]
  words = rows.size(0);
  const auto normed = model->text_decoder->forward(encoded.text.tokens.slice(1, 0, -1),
                                                   encoded.image.captioning);  // [B, T - 1, D]
  return caption_loss(normed.flatten(0, 1).index_select(0, rows), decoder->text_projection,
                      labels.index_select(0, rows));
}

StepStats stats_of(double clip, double caption, const Pairs& pairs, const StepOptions& options) {
  StepStats stats;
  stats.clip = clip;
  stats.caption = caption;
  stats.loss = options.contrastive_weight * clip + options.caption_weight * caption;
  stats.texts = stats.captioned = pairs.size();
  return stats;
}

StepStats whole(Cloc& model, const Pairs& pairs, const StepOptions& options) {
  const auto encoded = encode(model, pairs);
  int64_t words = 0;
  const auto caption = loss_of_captions(model, pairs, encoded, words);
  auto loss = options.caption_weight * caption;
  double clip = 0;
  if (options.forward.clip) {
    const auto contrastive = contrastive_loss(model, encoded.image.embedding,
                                              encoded.text.embedding, options.contrastive);
    clip = contrastive.item<double>();
    loss = loss + options.contrastive_weight * contrastive;
  }
  const auto stats = stats_of(clip, caption.item<double>(), pairs, options);
  if (stats.finite()) loss.backward();
  return stats;
}

// The embeddings of all parts, as leaves.
struct CachedEmbeddings {
  torch::Tensor images, texts;  // [B, E]
};
CachedEmbeddings cache_embeddings(Cloc& model, const std::vector<Pairs>& parts) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> images, texts;
  for (const auto& part : parts) {
    const auto encoded = encode(model, part);
    images.push_back(encoded.image.embedding);
    texts.push_back(encoded.text.embedding);
  }
  return {torch::cat(images).requires_grad_(), torch::cat(texts).requires_grad_()};
}

StepStats in_parts(Cloc& model, const Pairs& pairs, const StepOptions& options) {
  const int64_t size = (pairs.size() + options.accum_freq - 1) / options.accum_freq;
  std::vector<Pairs> parts;
  for (int64_t begin = 0; begin < pairs.size(); begin += size)
    parts.push_back(pairs.slice(begin, std::min(pairs.size(), begin + size)));
  double clip = 0;
  CachedEmbeddings cached;
  if (options.forward.clip) {
    cached = cache_embeddings(model, parts);
    const auto contrastive =
        contrastive_loss(model, cached.images, cached.texts, options.contrastive);
    clip = contrastive.item<double>();
    if (!std::isfinite(clip)) return stats_of(clip, 0, pairs, options);
    (options.contrastive_weight * contrastive).backward();
  }
  const auto all_words = pairs.next_ids().ne(kPadId).sum().item<int64_t>();
  double caption = 0;
  int64_t row = 0;
  for (const auto& part : parts) {
    const auto encoded = encode(model, part);
    int64_t words = 0;
    const auto mean = loss_of_captions(model, part, encoded, words);
    const double share =
        static_cast<double>(words) / static_cast<double>(std::max<int64_t>(1, all_words));
    caption += share * mean.item<double>();
    auto sum = options.caption_weight * share * mean;
    if (options.forward.clip) {
      const auto rows = [&](const torch::Tensor& leaf) {
        return leaf.grad().slice(0, row, row + part.size());
      };
      sum = sum + (encoded.image.embedding * rows(cached.images)).sum() +
            (encoded.text.embedding * rows(cached.texts)).sum();
    }
    if (!std::isfinite(caption)) break;
    sum.backward();
    row += part.size();
  }
  return stats_of(clip, caption, pairs, options);
}

}  // namespace

StepStats captioning_forward_backward(Cloc& model, const Batch& batch, const StepOptions& options) {
  TORCH_CHECK(model->text_decoder, "a captioning step of a model without a text decoder");
  TORCH_CHECK(!batch.has_text.defined(), "a captioning step of pictures without a text");
  const auto device = model->logit_scale.device();
  // Behind the longest text there is only padding.
  const auto longest = batch.text_length.max().item<int64_t>();
  const Pairs pairs{batch.pixels.to(device), batch.text_ids.slice(1, 0, longest).to(device)};
  return options.accum_freq > 1 ? in_parts(model, pairs, options) : whole(model, pairs, options);
}

}  // namespace opencloc
