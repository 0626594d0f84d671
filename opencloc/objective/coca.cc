// A captioner, CoCa (Yu et al., 2022, section 3.1):
//   L = contrastive_weight L_CLIP + caption_weight L_caption,
// L_caption the cross-entropy of each next word of a caption given its picture. A caption's words
// need no other picture, so each piece has a loss of its own.
#include <algorithm>
#include <vector>

#include <torch/utils.h>

#include "opencloc/objective/contrastive.h"
#include "opencloc/objective/objective.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

struct Pairs {
  torch::Tensor pixels;  // [b, 3, H, W]
  torch::Tensor ids;     // [b, T]
  // Of the places that a word follows: where they are in [b (T - 1)], and the word.
  torch::Tensor places, words;  // [n]
};

// Pictures with their own texts: "image", "text" [B, E].
class CocaWork : public BatchWork {
 public:
  CocaWork(const Cloc& model, const Batch& batch, const ObjectiveOptions& objective,
           const WorkOptions& options)
      : model_(model),
        objective_(objective.over(*options.group)),
        images_(batch.images()),
        text_id_(batch.text_id) {
    TORCH_CHECK(model->text_decoder, "a captioning step of a model without a text decoder");
    TORCH_CHECK(!batch.has_text.defined(), "a captioning step of pictures without a text");
    const auto device = model->logit_scale.device();
    // After the longest text there is only padding.
    const int64_t longest = images_ > 0 ? batch.text_length.max().item<int64_t>() : 0;
    const auto ids = batch.text_ids.slice(1, 0, longest);  // [B, T]
    auto counts = torch::stack({torch::scalar_tensor(images_, torch::kInt64),
                                ids.slice(1, 1).ne(kPadId).sum()});  // of all processes
    options.group->sum(counts);
    all_images_ = counts[0].item<int64_t>();
    all_words_ = std::max<int64_t>(1, counts[1].item<int64_t>());
    const int64_t size = std::max<int64_t>(1, (images_ + options.parts - 1) / options.parts);
    for (int64_t begin = 0; begin < images_; begin += size) {
      const int64_t end = std::min(images_, begin + size);
      const auto own = ids.slice(0, begin, end);                 // [b, T]
      const auto next = own.slice(1, 1).reshape(-1);             // [b (T - 1)]
      const auto places = next.ne(kPadId).nonzero().squeeze(1);  // [n]
      parts_.push_back({ops::to_device(batch.pixels.slice(0, begin, end), device),
                        ops::to_device(own.contiguous(), device), ops::to_device(places, device),
                        ops::to_device(next.index_select(0, places), device)});
    }
  }

  int64_t pieces() const override { return static_cast<int64_t>(parts_.size()); }
  bool empty() const override { return all_images_ == 0; }

  Encoded encode(int64_t piece, const NamedRows& /*before*/, bool own_loss) override {
    Encoded encoded;
    if (!objective_.clip && !own_loss) return encoded;  // no other piece wants to know
    const auto& pairs = parts_[static_cast<size_t>(piece)];
    const ImageFeatures image = model_->encode_image(pairs.pixels, {.any_size = true});
    const TextFeatures text = model_->encode_text_tokens(pairs.ids);
    if (objective_.clip) {
      encoded.rows.append("image", image.embedding);
      encoded.rows.append("text", text.embedding);
    }
    if (own_loss) encoded.own = loss_of_words(pairs, image, text);
    return encoded;
  }

  Loss loss(const NamedRows& rows) override {
    const BackendScope scope(model_->backend());
    Loss loss;
    if (!objective_.clip) return loss;
    const auto none = torch::zeros({0, model_->config().embed_dim}, model_->logit_scale.options());
    const auto clip = contrastive_loss(model_, images_ > 0 ? rows["image"] : none,
                                       images_ > 0 ? rows["text"] : none, text_id_, objective_);
    loss.value = objective_.contrastive_weight * clip;
    loss.figures.sum("loss_clip", clip);
    return loss;
  }

  Figures counts() const override {
    Figures figures;
    if (objective_.clip) figures.count("captioned", images_);
    if (images_ == 0) figures.mean("loss_caption", 0, 0);  // the same names in all processes
    return figures;
  }

 private:
  Loss loss_of_words(const Pairs& pairs, const ImageFeatures& image, const TextFeatures& text) {
    const auto& decoder = model_->text_decoder;
    const BackendScope scope(model_->backend());
    const auto normed = model_->decode_text(text.tokens.slice(1, 0, -1), image.captioning);
    const auto mean =  // [b, T - 1, D] -> scalar
        caption_loss(normed.flatten(0, 1).index_select(0, pairs.places), decoder->text_projection,
                     pairs.words);
    const auto words = static_cast<double>(pairs.words.size(0));
    const double share = words / static_cast<double>(all_words_);
    Loss loss{(objective_.caption_weight * share) * mean, {}};
    loss.figures.mean("loss_caption", mean, words);
    return loss;
  }

  Cloc model_;
  const ObjectiveOptions objective_;
  const int64_t images_;
  const torch::Tensor text_id_;
  int64_t all_images_ = 0, all_words_ = 1;
  std::vector<Pairs> parts_;
};

class CocaObjective : public Objective {
 public:
  CocaObjective(const Cloc& model, const ObjectiveOptions& options)
      : model_(model), options_(options) {}
  std::unique_ptr<BatchWork> work(const Batch& batch, const WorkOptions& options) override {
    return std::make_unique<CocaWork>(model_, batch, options_, options);
  }
  Json log() const override { return temperatures(model_); }

 private:
  const Cloc model_;
  const ObjectiveOptions options_;
};

}  // namespace

std::unique_ptr<Objective> make_coca(const Cloc& model, const ObjectiveOptions& options) {
  return std::make_unique<CocaObjective>(model, options);
}

}  // namespace opencloc
