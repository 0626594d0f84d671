#include "opencloc/model/cloc/cloc.h"

#include <cmath>

namespace opencloc {

ClocImpl::ClocImpl(const ModelConfig& config) : config_(config) {
  config_.cloc.encoding_grid = config.encoding_grid();
  const auto channels = [&](const char* name, const std::array<float, 3>& values) {
    return register_buffer(name, torch::tensor(at::ArrayRef<float>(values)).view({3, 1, 1}));
  };
  pixel_mean_ = channels("pixel_mean", config.preprocess.mean);
  pixel_std_ = channels("pixel_std", config.preprocess.std);
  visual = register_module("visual", VisionTower(config));
  text = register_module("text", TextTower(config));
  if (config.multimodal) text_decoder = register_module("text_decoder", TextDecoder(config));
  logit_scale = register_parameter("logit_scale", torch::full({}, config.init_logit_scale));
  if (config.init_logit_bias)
    logit_bias = register_parameter("logit_bias", torch::full({}, *config.init_logit_bias));
  if (!config.region_part) return;
  prompter = register_module("prompter", Prompter(config));
  box_head = register_module("box_head", BoxHead(config.embed_dim));
  if (config.cloc.region_extractor == RegionExtractor::kRoiAlign) {
    roi_extractor = register_module("roi_extractor", RoiExtractor(config));
  }
  region_logit_scale =
      register_parameter("region_logit_scale", torch::full({}, std::log(1.0 / 0.07)));
  if (config.cloc.hard_negatives) {
    hard_negative_logit_scale =
        register_parameter("hard_negative_logit_scale", torch::full({}, std::log(1.0 / 0.07)));
  }
  // Last, so that all other weights are drawn as without it.
  if (config.cloc.quality_head)
    quality_head = register_module("quality_head", QualityHead(config.embed_dim));
}

namespace {

// What leaves the model is F32, whatever its activations are.
torch::Tensor as_f32(const torch::Tensor& t) {
  return t.scalar_type() == torch::kBFloat16 ? t.to(torch::kFloat) : t;
}

}  // namespace

// The three roundings of image/normalize.h, where the model lies.
torch::Tensor ClocImpl::normalized_pixels(const torch::Tensor& pixels) const {
  if (pixels.scalar_type() != torch::kByte) return pixels;
  const auto values = pixels.permute({0, 3, 1, 2}).to(torch::kFloat);  // [B, 3, H, W]
  return (values / 255 - pixel_mean_) / pixel_std_;
}

ImageFeatures ClocImpl::encode_image(const torch::Tensor& pixels, const EncodeOptions& options) {
  const ComputeScope scope(precision_, backend_);
  EncodeOptions wanted = options;
  // Of whole pictures alone: regions of others are not read.
  wanted.several_layers = prompter && config_.cloc.several_layers && !options.keep.defined() &&
                          !options.appended.defined() && !options.hidden.defined();
  auto features = visual->forward(normalized_pixels(pixels), wanted);
  if (wanted.several_layers) features.of_layers = prompter->sum_of_layers(features.layers);
  features.layers.clear();
  features.pooled = as_f32(features.pooled);
  features.embedding = as_f32(features.embedding);
  if (features.hidden.defined()) features.hidden = as_f32(features.hidden);
  return features;
}

torch::Tensor ClocImpl::encode_text(const torch::Tensor& ids) {
  const ComputeScope scope(precision_, backend_);
  return as_f32(text->forward(ids));
}

TextFeatures ClocImpl::encode_text_tokens(const torch::Tensor& ids) {
  const ComputeScope scope(precision_, backend_);
  auto features = text->encode(ids);
  features.embedding = as_f32(features.embedding);
  return features;
}

torch::Tensor ClocImpl::decode_text(const torch::Tensor& tokens, const torch::Tensor& captioning) {
  TORCH_CHECK(text_decoder, "this model has no text decoder");
  const ComputeScope scope(precision_, backend_);
  return as_f32(text_decoder->forward(tokens, captioning));
}

void ClocImpl::need_region_part() const { TORCH_CHECK(prompter, "this model has no region part"); }

void ClocImpl::prepare_prompts(ImageFeatures& features) {
  need_region_part();
  const ComputeScope scope(precision_, backend_);
  features.context = prompter->prepare(features.for_regions());
}

PromptContext ClocImpl::context_of(const ImageFeatures& features) {
  return features.context.defined() ? features.context : prompter->prepare(features.for_regions());
}

torch::Tensor ClocImpl::encode_regions(const ImageFeatures& features, const PromptBatch& prompts) {
  need_region_part();
  const ComputeScope scope(precision_, backend_);
  if (roi_extractor && prompts.kind == PromptKind::kBox) {
    return as_f32(
        roi_extractor->forward(features.for_regions(), prompts.boxes, prompts.image_index));
  }
  return as_f32(prompter->forward(context_of(features), prompts));
}

torch::Tensor ClocImpl::roi_align_regions(const torch::Tensor& layer_tokens,
                                          const torch::Tensor& boxes,
                                          const torch::Tensor& image_index) {
  const ComputeScope scope(precision_, backend_);
  return as_f32(visual->project(roi_align(layer_tokens, boxes, image_index)));
}

torch::Tensor ClocImpl::dense_tokens(const torch::Tensor& penultimate) {
  const ComputeScope scope(precision_, backend_);
  return as_f32(visual->dense(penultimate));
}

torch::Tensor ClocImpl::ground(const ImageFeatures& features, const torch::Tensor& text_embeddings,
                               const torch::Tensor& image_index) {
  need_region_part();
  const ComputeScope scope(precision_, backend_);
  const auto z =
      prompter->forward(context_of(features), text_prompts(text_embeddings, image_index));
  return as_f32(box_head->forward(z));
}

torch::Tensor ClocImpl::log_attention_inside(const ImageFeatures& features,
                                             const torch::Tensor& text_embeddings,
                                             const torch::Tensor& image_index,
                                             const torch::Tensor& boxes) {
  need_region_part();
  const ComputeScope scope(precision_, backend_);
  return prompter->log_attention_inside(context_of(features),
                                        text_prompts(text_embeddings, image_index), boxes);
}

torch::Tensor ClocImpl::recover_boxes(const torch::Tensor& regions) {
  need_region_part();
  const ComputeScope scope(precision_, backend_);
  return as_f32(box_head->forward(regions));
}

torch::Tensor ClocImpl::quality_logits(const torch::Tensor& regions) {
  TORCH_CHECK(quality_head, "this model has no quality head");
  const ComputeScope scope(precision_, backend_);
  return as_f32(quality_head->forward(regions));
}

namespace {

bool of_clip(const std::string& key) {
  return key.starts_with("visual.") || key.starts_with("text.") ||
         key.starts_with("text_decoder.") || key == "logit_scale" || key == "logit_bias";
}

}  // namespace

std::vector<std::pair<std::string, torch::Tensor>> ClocImpl::clip_weights() const {
  std::vector<std::pair<std::string, torch::Tensor>> weights;
  for (const auto& item : named_parameters()) {
    const auto& key = item.key();
    if (of_clip(key))
      weights.emplace_back(key.starts_with("text.") ? key.substr(5) : key, item.value());
  }
  return weights;
}

std::vector<std::pair<std::string, torch::Tensor>> ClocImpl::region_weights() const {
  std::vector<std::pair<std::string, torch::Tensor>> weights;
  for (const auto& item : named_parameters()) {
    if (!of_clip(item.key())) weights.emplace_back(item.key(), item.value());
  }
  return weights;
}

torch::Tensor normalized(const torch::Tensor& embeddings) {
  return embeddings / embeddings.norm(2, -1, true).clamp_min(1e-12);
}

}  // namespace opencloc
