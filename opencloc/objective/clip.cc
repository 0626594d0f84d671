#include "opencloc/objective/clip.h"

#include <algorithm>

#include <torch/utils.h>

#include "opencloc/objective/contrastive.h"
#include "opencloc/objective/masks.h"

namespace opencloc {
namespace {

// Texts of a group where the whole batch goes through in one graph: groups are there for their
// lengths alone.
constexpr int64_t kTextsAtOnce = 4096;
constexpr const char* kSecondImage = "second image";

bool any_learns(const torch::nn::Module& module) {
  const auto parameters = module.parameters();
  return std::any_of(parameters.begin(), parameters.end(),
                     [](const torch::Tensor& parameter) { return parameter.requires_grad(); });
}

int64_t count(const torch::Tensor& flags, int64_t without_flags) {
  return flags.defined() ? flags.sum().item<int64_t>() : without_flags;
}

class Clip : public Objective {
 public:
  Clip(const Cloc& model, const ObjectiveOptions& options) : model_(model), options_(options) {}
  std::unique_ptr<BatchWork> work(const Batch& batch, const WorkOptions& options) override {
    return std::make_unique<ClipWork>(model_, batch, options_, options, /*with_regions=*/false);
  }
  Json log() const override { return temperatures(model_); }

 private:
  const Cloc model_;
  const ObjectiveOptions options_;
};

}  // namespace

ClipWork::ClipWork(const Cloc& model, const Batch& batch, const ObjectiveOptions& objective,
                   const WorkOptions& options, bool with_regions)
    : model_(model),
      objective_(objective.over(*options.group)),
      texts_learn_(any_learns(*model->text)) {
  local_.images = batch.images();
  local_.captioned = objective.clip ? count(batch.has_text, batch.images()) : 0;
  if (with_regions) {
    local_.with_regions = batch.images_with_regions;
    local_.regions = batch.regions();
    local_.grounded = count(batch.names_one_box, batch.regions());
    local_.rated = batch.rated();
    if (objective.crop_weight > 0) local_.crops = batch.crops();
    if (batch.negatives() > 0 && objective.hard_negative_weight > 0)
      local_.with_negatives = std::get<0>(at::unique_consecutive(batch.negative_region)).size(0);
  }
  auto counts = torch::tensor({local_.images, local_.captioned, local_.with_regions, local_.regions,
                               local_.grounded, local_.rated, local_.with_negatives, local_.crops},
                              torch::kInt64);
  options.group->sum(counts);
  const auto* sums = counts.data_ptr<int64_t>();
  all_ = {sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7]};
  if (empty()) return;

  const auto device = model->logit_scale.device();
  const int64_t texts_at_once =
      options.parts == 1 ? kTextsAtOnce : (batch.images() + options.parts - 1) / options.parts;
  if (batch.text_id.defined()) {
    caption_id_ = batch.has_text.defined()
                      ? batch.text_id.index_select(0, batch.has_text.nonzero().squeeze(1))
                      : batch.text_id;  // [C]
  }
  texts_ = distinct_texts(batch, {.max_rows = std::max<int64_t>(1, texts_at_once),
                                  .with_captions = objective.clip,
                                  .with_regions = with_regions,
                                  .with_negatives = local_.with_negatives > 0,
                                  .cut = model->config().text.padding_is_ignored()})
               .to(device);
  parts_ = cut_batch(batch, options.parts);
  for (auto& part : parts_) {
    if (objective_.patch_dropout > 0) {
      // From the other end than a masked pass, which would see the same patches; padding stays
      // last.
      const auto& order = part.batch.patch_order;
      part.batch.patch_order =
          mask_patches(torch::where(order < 1, 1 - order, order), objective_.patch_dropout).keep;
    }
  }
  for (auto& part : parts_) part.batch = to_device(part.batch, device);
  Batch regions = batch;
  regions.pixels = regions.captioned_view = regions.crop_pixels =
      torch::Tensor();  // the parts have them
  batch_ = to_device(regions, device);
}

int64_t ClipWork::pieces() const {
  return static_cast<int64_t>(texts_.groups.size() + (two_views() ? 2 : 1) * parts_.size());
}

bool ClipWork::learns(int64_t piece) const {
  return texts_learn_ || piece >= static_cast<int64_t>(texts_.groups.size());
}

Encoded ClipWork::encode(int64_t piece, const NamedRows& before, bool /*own_loss*/) {
  Encoded encoded;
  const auto groups = static_cast<int64_t>(texts_.groups.size());
  if (piece < groups) {
    encoded.rows.append("text", model_->encode_text(texts_.groups[static_cast<size_t>(piece)]));
    return encoded;  // [u, E]
  }
  const auto at = static_cast<size_t>(piece - groups);
  const auto& part = parts_[at % parts_.size()];
  EncodeOptions encode;
  encode.any_size = true;  // of a schedule of image sizes
  if (objective_.patch_dropout > 0) encode.keep = part.batch.patch_order;  // [b, K]
  if (at >= parts_.size()) {
    encoded.rows.append(kSecondImage,
                        model_->encode_image(part.batch.captioned_view, encode).embedding);
    return encoded;
  }
  auto features = model_->encode_image(part.batch.pixels, encode);  // tokens [b, T, D]
  encoded.rows.append("image", features.embedding);                 // [b, E]
  encode_regions(features, part, before, encoded.rows);
  return encoded;
}

Figures ClipWork::counts() const {
  Figures figures;
  if (objective_.clip) figures.count("captioned", local_.captioned);
  return figures;
}

torch::Tensor ClipWork::rows_or_none(const NamedRows& rows, std::string_view name,
                                     int64_t width) const {
  const auto found = rows[name];
  return found.defined() ? found : torch::zeros({0, width}, model_->logit_scale.options());
}

Loss ClipWork::loss(const NamedRows& rows) {
  const BackendScope scope(model_->backend());
  Loss loss;
  if (!objective_.clip || all_.captioned == 0) return loss;
  loss.value = loss_of(rows, "image");
  if (two_views()) loss.value = 0.5 * (loss.value + loss_of(rows, kSecondImage));
  loss.figures.sum("loss_clip", loss.value);
  return loss;
}

torch::Tensor ClipWork::loss_of(const NamedRows& rows, std::string_view name) {
  const int64_t width = model_->config().embed_dim;
  const auto captions =
      rows_or_none(rows, "text", width).index_select(0, texts_.caption_row);  // [C, E]
  auto images = rows_or_none(rows, name, width);                              // [C, E]
  if (texts_.captioned.defined()) images = images.index_select(0, texts_.captioned);
  return contrastive_loss(model_, images, captions, caption_id_, objective_);
}

std::unique_ptr<Objective> make_clip(const Cloc& model, const ObjectiveOptions& options) {
  return std::make_unique<Clip>(model, options);
}

}  // namespace opencloc
