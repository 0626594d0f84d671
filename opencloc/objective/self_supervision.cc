#include "opencloc/objective/self_supervision.h"

#include <algorithm>
#include <string>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/objective/batch_parts.h"
#include "opencloc/objective/beside.h"
#include "opencloc/objective/m3ae.h"
#include "opencloc/objective/patches.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

// A part of the batch for a masked pass, on the model's device.
struct MaskedPart {
  torch::Tensor pixels;         // [b, 3, H, W] or bytes
  torch::Tensor ids;            // [b, T]
  torch::Tensor padding;        // [b, T] bool, of the texts
  Masks patches, words;         // those that there are
  torch::Tensor places, truth;  // [n]: of the hidden words, in [b T], and what stands there
  double scored = 0;            // patches
};

SeenTokens seen_patches(Cloc& model, const torch::Tensor& pixels, const torch::Tensor& keep) {
  const int64_t first = model->config().vision.class_token ? 1 : 0;
  const auto tokens = model->encode_image(pixels, {.hidden_layer = {}, .keep = keep}).tokens;
  return {tokens.slice(1, first), keep, model->config().vision.patches()};
}

// The rows of all processes [N, E] in order of the ranks; a gradient passes into this process's
// own, `size` times: each process computes the whole loss, and gives its `size`-th part of it.
torch::Tensor of_all(const torch::Tensor& rows, dist::Group& group) {
  if (group.size() == 1) return rows;
  const auto all = group.gather(rows.detach());
  const auto own = rows.detach() + group.size() * (rows - rows.detach());
  return torch::cat(
      {all.rows.slice(0, 0, all.first), own, all.rows.slice(0, all.first + rows.size(0))});
}

class SelfSupervisedWork : public BatchWork {
 public:
  SelfSupervisedWork(std::unique_ptr<BatchWork> base, const Cloc& model,
                     const SelfSupervisionHeads& heads, const SelfSupervisionOptions& options,
                     const Batch& batch, const WorkOptions& work)
      : base_(std::move(base)),
        model_(model),
        heads_(heads),
        options_(options),
        group_(*work.group) {
    const auto device = model->logit_scale.device();
    auto images = torch::full({1}, batch.images(), torch::kInt64);
    group_.sum(images);
    all_images_ = images.item<int64_t>();
    const int64_t size = std::max<int64_t>(1, (batch.images() + work.parts - 1) / work.parts);
    for (int64_t begin = 0; begin < batch.images(); begin += size) {
      const int64_t end = std::min(batch.images(), begin + size);
      if (options_.masks()) parts_.push_back(masked_part(batch, begin, end, device));
      if (options_.simclr_weight > 0) {
        views_.emplace_back(ops::to_device(batch.first_view.slice(0, begin, end), device),
                            ops::to_device(batch.second_view.slice(0, begin, end), device));
      }
    }
    auto counts = torch::zeros({2}, torch::kDouble);
    for (const auto& part : parts_) {
      counts[0] += part.scored;
      if (part.truth.defined()) counts[1] += static_cast<double>(part.truth.size(0));
    }
    group_.sum(counts);
    all_patches_ = std::max(1.0, counts[0].item<double>());
    all_words_ = std::max(1.0, counts[1].item<double>());
  }

  // The base's pieces, masked parts, then both views of each part.
  int64_t pieces() const override {
    return base_pieces() + static_cast<int64_t>(parts_.size() + 2 * views_.size());
  }
  bool empty() const override { return all_images_ == 0; }
  bool learns(int64_t piece) const override {
    return piece >= base_pieces() || base_->learns(piece);
  }

  Encoded encode(int64_t piece, const NamedRows& before, bool own_loss) override {
    if (piece < base_pieces()) return base_->encode(piece, before, own_loss);
    auto at = static_cast<size_t>(piece - base_pieces());
    Encoded encoded;
    if (at < parts_.size()) {
      if (own_loss) encoded.own = masked_loss(parts_[at]);
      return encoded;
    }
    at -= parts_.size();
    const auto& [first, second] = views_[at / 2];
    encoded.rows.append(at % 2 == 0 ? kFirst : kSecond,
                        model_->encode_image(at % 2 == 0 ? first : second).pooled);  // [b, D]
    return encoded;
  }

  Loss loss(const NamedRows& rows) override {
    Loss loss;
    if (!base_->empty()) loss = base_->loss(rows);
    if (options_.simclr_weight == 0 || all_images_ == 0) return loss;
    const ComputeScope scope(model_->precision(), model_->backend());
    const auto side = [&](const char* name) {
      const auto found = rows[name];
      return of_all(found.defined() ? found
                                    : torch::zeros({0, model_->config().vision.width},
                                                   model_->logit_scale.options()),
                    group_);
    };
    const auto head = [this](const torch::Tensor& x) { return heads_->simclr_head(x); };
    const auto simclr =
        simclr_loss(head(side(kFirst)), head(side(kSecond)), options_.simclr_temperature) /
        static_cast<double>(group_.size());
    const auto weighted = options_.simclr_weight * simclr;
    loss.value = loss.value.defined() ? loss.value + weighted : weighted;
    loss.figures.sum("loss_simclr", simclr);
    return loss;
  }

  Figures counts() const override {
    Figures figures = base_->counts();
    // The same names in all processes.
    if (parts_.empty() && options_.mae_weight > 0) figures.mean("loss_mae", 0, 0);
    if (parts_.empty() && options_.mlm_weight > 0) figures.mean("loss_mlm", 0, 0);
    return figures;
  }

 private:
  static constexpr const char* kFirst = "first view";
  static constexpr const char* kSecond = "second view";

  int64_t base_pieces() const { return base_->empty() ? 0 : base_->pieces(); }

  MaskedPart masked_part(const Batch& batch, int64_t begin, int64_t end,
                         torch::Device device) const {
    const auto cut = [&](const torch::Tensor& tensor) { return tensor.slice(0, begin, end); };
    MaskedPart part;
    if (options_.masks_image()) {
      part.patches = mask_patches(cut(batch.patch_order), options_.mae_mask);
      part.scored = part.patches.hidden.sum().item<double>();
      part.pixels = ops::to_device(cut(batch.pixels), device);
      part.patches.keep = ops::to_device(part.patches.keep, device);
      part.patches.hidden = ops::to_device(part.patches.hidden, device);
    }
    if (options_.mlm_weight > 0)
      add_words(cut(batch.text_ids), cut(batch.text_length), cut(batch.word_order), device, part);
    return part;
  }

  // Padding and all: the decoder reads it, so that the number of places must not depend on which
  // texts share a piece.
  void add_words(const torch::Tensor& ids, const torch::Tensor& length, const torch::Tensor& order,
                 torch::Device device, MaskedPart& part) const {
    part.words = mask_words(order, length, options_.mlm_mask);
    const auto places = part.words.hidden.flatten().nonzero().squeeze(1);  // [n]
    part.places = ops::to_device(places, device);
    part.truth = ops::to_device(ids.flatten().index_select(0, places), device);
    part.padding = ops::to_device(torch::arange(ids.size(1)).ge(length.unsqueeze(1)), device);
    part.ids = ops::to_device(ids.contiguous(), device);
    part.words.keep = ops::to_device(part.words.keep, device);
  }

  Loss masked_loss(const MaskedPart& part) {
    const ComputeScope scope(model_->precision(), model_->backend());
    SeenTokens image, words;
    if (part.pixels.defined()) image = seen_patches(model_, part.pixels, part.patches.keep);
    if (part.ids.defined()) {
      const int64_t length = part.ids.size(1);
      const auto keep = part.words.keep.clamp_max(length - 1);  // what is left out may be anything
      words = {model_->text->encode_some(part.ids, keep), part.words.keep, length, part.padding};
    }
    Restored restored;
    if (part.ids.defined() && options_.mlm_sees == WordContext::kText) {
      restored.words = heads_->masked_decoder(SeenTokens{}, words).words;
      if (options_.mae_weight > 0)
        restored.patches = heads_->masked_decoder(image, SeenTokens{}).patches;
    } else {
      restored = heads_->masked_decoder(image, words);
    }
    Loss loss;
    if (options_.mae_weight > 0) add_patches(part, restored.patches, loss);
    if (options_.mlm_weight > 0) add_words(part, restored.words, loss);
    return loss;
  }

  void add_patches(const MaskedPart& part, const torch::Tensor& restored, Loss& loss) const {
    const auto sum = masked_patch_loss(
        {restored,
         to_patches(model_->normalized_pixels(part.pixels), model_->config().vision.patch_size),
         part.patches.hidden, options_.mae_normalize});
    loss.value = options_.mae_weight / all_patches_ * sum;
    loss.figures.mean("loss_mae", sum / std::max(1.0, part.scored), part.scored);
  }

  void add_words(const MaskedPart& part, const torch::Tensor& restored, Loss& loss) const {
    const auto mean = caption_loss(restored.flatten(0, 1).index_select(0, part.places),
                                   heads_->masked_decoder->word_projection, part.truth);
    const auto words = static_cast<double>(part.truth.size(0));
    const auto weighted = options_.mlm_weight * words / all_words_ * mean;
    loss.value = loss.value.defined() ? loss.value + weighted : weighted;
    loss.figures.mean("loss_mlm", mean, words);
  }

  const std::unique_ptr<BatchWork> base_;
  Cloc model_;
  mutable SelfSupervisionHeads heads_;
  const SelfSupervisionOptions options_;
  dist::Group& group_;
  std::vector<MaskedPart> parts_;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> views_;
  int64_t all_images_ = 0;
  double all_patches_ = 1, all_words_ = 1;
};

class SelfSupervised : public ObjectiveBeside {
 public:
  SelfSupervised(std::unique_ptr<Objective> base, const Cloc& model,
                 const SelfSupervisionHeads& heads, const SelfSupervisionOptions& options)
      : ObjectiveBeside(std::move(base)), model_(model), heads_(heads), options_(options) {}

  std::unique_ptr<BatchWork> work(const Batch& batch, const WorkOptions& options) override {
    return std::make_unique<SelfSupervisedWork>(base_->work(batch, options), model_, heads_,
                                                options_, batch, options);
  }

 private:
  const Cloc model_;
  const SelfSupervisionHeads heads_;
  const SelfSupervisionOptions options_;
};

}  // namespace

SelfSupervisionHeadsImpl::SelfSupervisionHeadsImpl(const SelfSupervisionOptions& options,
                                                   const ModelConfig& model) {
  if (options.masks()) {
    MaskedDecoderConfig decoder = options.decoder;
    decoder.words = options.mlm_weight > 0;
    decoder.joint = options.joint;
    if (options.joint && decoder.words)
      joint_encoder = register_module("joint_encoder", JointEncoder(model));
    masked_decoder = register_module("masked_decoder", MaskedDecoder(decoder, model));
  }
  if (options.simclr_weight > 0)
    simclr_head = register_module("simclr_head", SimclrHead(options.simclr, model.vision.width));
}

std::vector<std::pair<std::string, torch::Tensor>> SelfSupervisionHeadsImpl::weights() const {
  std::vector<std::pair<std::string, torch::Tensor>> weights;
  for (const auto& item : named_parameters()) weights.emplace_back(item.key(), item.value());
  return weights;
}

void check_self_supervision(const ModelConfig& model, const SelfSupervisionOptions& options) {
  if (!options.on()) return;
  if (model.multimodal || model.vision.attentional_pool) {
    throw Error::input("a captioner is not trained with self-supervision",
                       "settings 'mae_weight', 'mlm_weight' and 'simclr_weight'",
                       "leave them out, or use a model without a text decoder");
  }
  if (options.joint && model.vision.pool == ImagePool::kAttention) {
    throw Error::input("M3AE would not train the attention that pools the image tower",
                       "setting 'objective=m3ae'",
                       "use a model that pools by its class token or the mean");
  }
  if (!options.joint && options.mlm_weight > 0 && (!model.text.causal || model.text.embed_cls)) {
    throw Error::input("only a causal text tower can have words hidden", "setting 'mlm_weight'",
                       "leave it out, or use a model whose text tower is CLIP's");
  }
}

std::unique_ptr<Objective> with_self_supervision(std::unique_ptr<Objective> base, const Cloc& model,
                                                 const SelfSupervisionHeads& heads,
                                                 const SelfSupervisionOptions& options) {
  check_self_supervision(model->config(), options);
  return std::make_unique<SelfSupervised>(std::move(base), model, heads, options);
}

Reconstruction reconstruct(const Cloc& model, const SelfSupervisionHeads& heads,
                           const SelfSupervisionOptions& options, const Batch& batch) {
  const torch::NoGradGuard no_grad;
  Cloc tower = model;
  SelfSupervisionHeads decoder = heads;
  const ComputeScope scope(tower->precision(), tower->backend());
  const auto device = tower->logit_scale.device();
  const int64_t patch = tower->config().vision.patch_size;
  Masks masks = mask_patches(batch.patch_order, options.mae_mask);
  const auto pixels = tower->normalized_pixels(ops::to_device(batch.pixels, device));
  torch::Tensor restored;  // [B, N, 3 P P]
  if (options.joint) {
    restored = m3ae_patches(model, heads, options, batch);
  } else {
    const auto seen = seen_patches(tower, pixels, ops::to_device(masks.keep, device));
    restored = decoder->masked_decoder(seen, SeenTokens{}).patches.to(torch::kFloat32);
  }
  const auto truth = to_patches(pixels, patch);
  if (options.mae_normalize) {
    const auto deviation = (truth.var(-1, /*unbiased=*/true, /*keepdim=*/true) + 1e-6).sqrt();
    restored = restored * deviation + truth.mean(-1, /*keepdim=*/true);
  }
  const auto hidden = ops::to_device(masks.hidden, device).unsqueeze(2);
  return {from_patches(torch::where(hidden, torch::zeros_like(truth), truth), patch),
          from_patches(torch::where(hidden, restored, truth), patch)};
}

}  // namespace opencloc
