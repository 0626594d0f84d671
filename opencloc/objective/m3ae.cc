#include "opencloc/objective/m3ae.h"

#include <algorithm>
#include <map>

#include <torch/utils.h>

#include "opencloc/objective/masks.h"
#include "opencloc/objective/patches.h"
#include "opencloc/ops/transfer.h"

namespace opencloc {
namespace {

// Hidden words of texts that hide as many.
struct HiddenWords {
  torch::Tensor places, truth;  // [n]: in [b T], and what stands there
  double texts = 0;
};

// Some pictures of a batch with their texts, on the model's device.
struct JointPart {
  torch::Tensor pixels;   // [b, 3, H, W] or bytes
  Masks patches;          // of `hidden` each picture's sum to 1, or to 0 where none is hidden
  double pictures = 0;    // with a hidden patch
  SeenWords seen;         // undefined where words take no part
  torch::Tensor absent;   // [b, K] int64: seen.keep as the decoder wants it
  torch::Tensor padding;  // [b, T] bool
  std::vector<HiddenWords> hidden;
  double texts = 0;  // with a hidden word
};

std::vector<int64_t> counts_of(const torch::Tensor& flags) {
  const auto sums = flags.sum(1).to(torch::kInt64).contiguous();
  return {sums.data_ptr<int64_t>(), sums.data_ptr<int64_t>() + sums.size(0)};
}

void add_words(const Batch& batch, int64_t begin, int64_t end, double share, torch::Device device,
               JointPart& part) {
  const auto ids = batch.text_ids.slice(0, begin, end).contiguous();
  auto length = batch.text_length.slice(0, begin, end);
  // Of a picture without a text nothing is seen, not even the end.
  const auto there = batch.has_text.defined() ? batch.has_text.slice(0, begin, end)
                                              : torch::ones({end - begin}, torch::kBool);
  length = length * there.to(torch::kInt64);
  const int64_t context = ids.size(1);
  Masks words = mask_words(batch.word_order.slice(0, begin, end), length, share);
  words.keep.masked_fill_(there.logical_not().unsqueeze(1), context);
  part.seen.group(counts_of(words.keep < context), device);

  const auto hides = counts_of(words.hidden);
  std::map<int64_t, std::vector<int64_t>> by_count;
  for (size_t row = 0; row < hides.size(); ++row)
    if (hides[row] > 0) by_count[hides[row]].push_back(static_cast<int64_t>(row));
  for (const auto& [count, rows] : by_count) {
    std::vector<int64_t> places;
    for (const int64_t row : rows) {
      const bool* hidden = words.hidden.data_ptr<bool>() + row * context;
      for (int64_t t = 0; t < context; ++t)
        if (hidden[t]) places.push_back(row * context + t);
    }
    const auto at = torch::tensor(places, torch::kInt64);
    part.hidden.push_back({ops::to_device(at, device),
                           ops::to_device(ids.flatten().index_select(0, at), device),
                           static_cast<double>(rows.size())});
    part.texts += part.hidden.back().texts;
  }
  part.padding = ops::to_device(torch::arange(context).ge(length.unsqueeze(1)), device);
  part.absent = ops::to_device(words.keep, device);
  part.seen.keep = part.absent.clamp_max(context - 1);  // what is left out may be anything
  part.seen.ids = ops::to_device(ids, device);
}

JointPart joint_part(const Batch& batch, int64_t begin, int64_t end,
                     const SelfSupervisionOptions& options, torch::Device device) {
  JointPart part;
  Masks patches = mask_patches(batch.patch_order.slice(0, begin, end), options.mae_mask);
  const auto count = patches.hidden.sum(1, /*keepdim=*/true);  // [b, 1]
  part.pictures = static_cast<double>(count.gt(0).sum().item<int64_t>());
  part.patches.keep = ops::to_device(patches.keep, device);
  part.patches.hidden =
      ops::to_device(patches.hidden.to(torch::kFloat32) / count.clamp_min(1), device);
  part.pixels = ops::to_device(batch.pixels.slice(0, begin, end), device);
  if (options.mlm_weight > 0) add_words(batch, begin, end, options.mlm_mask, device, part);
  return part;
}

// pixels [b, 3, H, W], normalised.
Restored restore(Cloc& model, SelfSupervisionHeadsImpl& heads, const JointPart& part,
                 const torch::Tensor& pixels) {
  const auto& vision = model->config().vision;
  JointTokens tokens;
  SeenTokens image, words;
  if (part.seen.defined()) {
    tokens = heads.joint_encoder(model->visual, pixels, part.patches.keep, part.seen);
    words = {tokens.words, part.absent, part.seen.ids.size(1), part.padding};
  } else {
    tokens = encode_patches(model->visual, pixels, part.patches.keep, vision.class_token);
  }
  image = {tokens.patches, part.patches.keep, vision.patches()};
  return heads.masked_decoder(image, words, tokens.class_token);
}

class M3aeWork : public BatchWork {
 public:
  M3aeWork(const Cloc& model, SelfSupervisionHeadsImpl& heads,
           const SelfSupervisionOptions& options, const Batch& batch, const WorkOptions& work)
      : model_(model), heads_(heads), options_(options) {
    const auto device = model->logit_scale.device();
    auto counts = torch::zeros({3}, torch::kDouble);
    counts[0] = batch.images();
    const int64_t size = std::max<int64_t>(1, (batch.images() + work.parts - 1) / work.parts);
    for (int64_t begin = 0; begin < batch.images(); begin += size) {
      parts_.push_back(
          joint_part(batch, begin, std::min(batch.images(), begin + size), options, device));
      counts[1] += parts_.back().pictures;
      counts[2] += parts_.back().texts;
      local_texts_ += static_cast<int64_t>(parts_.back().texts);
    }
    work.group->sum(counts);
    all_images_ = counts[0].item<double>();
    all_pictures_ = std::max(1.0, counts[1].item<double>());
    all_texts_ = std::max(1.0, counts[2].item<double>());
  }

  int64_t pieces() const override { return static_cast<int64_t>(parts_.size()); }
  bool empty() const override { return all_images_ == 0; }

  Encoded encode(int64_t piece, const NamedRows& /*before*/, bool own_loss) override {
    Encoded encoded;
    if (own_loss) encoded.own = loss_of(parts_[static_cast<size_t>(piece)]);
    return encoded;
  }

  Loss loss(const NamedRows& /*rows*/) override { return {}; }

  Figures counts() const override {
    Figures figures;
    if (options_.mlm_weight > 0) figures.count("captioned", local_texts_);
    // The same names in all processes.
    if (parts_.empty() && options_.mae_weight > 0) figures.mean("loss_mae", 0, 0);
    if (parts_.empty() && options_.mlm_weight > 0) figures.mean("loss_mlm", 0, 0);
    return figures;
  }

 private:
  Loss loss_of(const JointPart& part) {
    const ComputeScope scope(model_->precision(), model_->backend());
    const auto pixels = model_->normalized_pixels(part.pixels);
    const Restored restored = restore(model_, heads_, part, pixels);
    Loss loss;
    const auto add = [&loss](const torch::Tensor& value) {
      loss.value = loss.value.defined() ? loss.value + value : value;
    };
    if (options_.mae_weight > 0) {
      const auto sum = masked_patch_loss({restored.patches,
                                          to_patches(pixels, model_->config().vision.patch_size),
                                          part.patches.hidden, options_.mae_normalize});
      add(options_.mae_weight / all_pictures_ * sum);
      loss.figures.mean("loss_mae", sum / std::max(1.0, part.pictures), part.pictures);
    }
    if (options_.mlm_weight > 0) {
      torch::Tensor sum = torch::zeros({}, restored.words.options());
      for (const auto& words : part.hidden) {
        sum = sum +
              words.texts * caption_loss(restored.words.flatten(0, 1).index_select(0, words.places),
                                         heads_.masked_decoder->word_projection, words.truth);
      }
      add(options_.mlm_weight / all_texts_ * sum);
      loss.figures.mean("loss_mlm", sum / std::max(1.0, part.texts), part.texts);
    }
    return loss;
  }

  Cloc model_;
  SelfSupervisionHeadsImpl& heads_;
  const SelfSupervisionOptions& options_;
  std::vector<JointPart> parts_;
  int64_t local_texts_ = 0;
  double all_images_ = 0, all_pictures_ = 1, all_texts_ = 1;
};

class M3ae : public Objective {
 public:
  M3ae(const Cloc& model, const ObjectiveOptions& options)
      : model_(model), heads_(options.heads), options_(*options.self_supervision) {}
  std::unique_ptr<BatchWork> work(const Batch& batch, const WorkOptions& options) override {
    return std::make_unique<M3aeWork>(model_, *heads_, options_, batch, options);
  }

 private:
  const Cloc model_;
  const std::shared_ptr<SelfSupervisionHeadsImpl> heads_;
  const SelfSupervisionOptions options_;
};

}  // namespace

std::unique_ptr<Objective> make_m3ae(const Cloc& model, const ObjectiveOptions& options) {
  TORCH_CHECK(options.heads && options.self_supervision && options.self_supervision->joint,
              "M3AE needs its encoder's words and its decoder");
  check_self_supervision(model->config(), *options.self_supervision);
  return std::make_unique<M3ae>(model, options);
}

torch::Tensor m3ae_patches(const Cloc& model, const SelfSupervisionHeads& heads,
                           const SelfSupervisionOptions& options, const Batch& batch) {
  const torch::NoGradGuard no_grad;
  Cloc tower = model;
  SelfSupervisionHeads trained = heads;
  const ComputeScope scope(tower->precision(), tower->backend());
  const JointPart part = joint_part(batch, 0, batch.images(), options, tower->logit_scale.device());
  return restore(tower, *trained, part, tower->normalized_pixels(part.pixels))
      .patches.to(torch::kFloat32);
}

}  // namespace opencloc
