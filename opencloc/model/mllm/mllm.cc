#include "opencloc/model/mllm/mllm.h"

namespace opencloc {
namespace {

using torch::Tensor;

// x [B, T, H] with `vectors` [n, H] at the places of `where` [B, T] bool, in order. `what` names
// them in the error.
Tensor put(const Tensor& x, const Tensor& where, const Tensor& vectors, const char* what) {
  const auto places = where.flatten().nonzero().squeeze(1);  // [n]
  TORCH_CHECK(places.size(0) == vectors.size(0), "sequences with ", places.size(0), " places for ",
              what, ", of which there are ", vectors.size(0));
  return x.flatten(0, 1).index_copy(0, places, vectors.to(x.scalar_type())).view(x.sizes());
}

}  // namespace

MllmImpl::MllmImpl(const MllmConfig& config) : config_(config) {
  const int64_t width = config.language.width;
  language_model = register_module("language_model", LanguageModel(config.language));
  projector_ = register_module("multi_modal_projector", Projector(config.token_width, width));
  config_.sampler.token_width = config.token_width;
  config_.sampler.width = width;
  switch (config.region_source) {
    case RegionSource::kNone:
      break;
    case RegionSource::kSampler:
      sampler_ = register_module("region_sampler", RegionSampler(config_.sampler));
      break;
    case RegionSource::kMean:
      region_projector_ = register_module("region_projector", Linear(config.token_width, width));
      break;
    case RegionSource::kEmbedding:
      region_projector_ =
          register_module("region_projector", Linear(config.embedding_width, width));
      break;
  }
}

Tensor MllmImpl::embed(const Tensor& ids, const Tensor& tokens, const MllmRegions& regions) {
  TORCH_CHECK(ids.dim() == 2 && tokens.dim() == 3 && tokens.size(0) == ids.size(0),
              "ids must be [B, T] and tokens [B, N, D], got ", ids.sizes(), " and ",
              tokens.sizes());
  const auto image = ids == config_.image_id, region = ids == config_.region_id;  // [B, T]
  const auto of_each = image.sum(1);
  TORCH_CHECK(of_each.eq(tokens.size(1)).all().item<bool>(), "each sequence must have ",
              tokens.size(1), " places for its picture, not ", of_each);
  const auto words = ids.masked_fill(image.logical_or(region), 0);
  auto x = language_model->embed(words);  // [B, T, H]
  x = put(x, image, projector_(tokens).flatten(0, 1), "tokens of pictures");
  if (!regions.image_index.defined()) {
    TORCH_CHECK(!region.any().item<bool>(), "sequences that name regions need regions");
    return x;
  }
  return put(x, region, region_vectors(tokens, regions), "regions");
}

Tensor MllmImpl::region_vectors(const Tensor& tokens, const MllmRegions& regions) {
  switch (config_.region_source) {
    case RegionSource::kMean:
      return region_projector_(
          tokens_at(tokens, regions.image_index, regions.points).mean(1));  // [R, H]
    case RegionSource::kSampler:
      return sampler_->forward(tokens, regions.image_index, regions.points);
    case RegionSource::kEmbedding:
      TORCH_CHECK(
          regions.embeddings.defined() && regions.embeddings.size(1) == config_.embedding_width,
          "regions need embeddings [R, ", config_.embedding_width, "]");
      return region_projector_(regions.embeddings);
    case RegionSource::kNone:
      break;
  }
  TORCH_CHECK(false, "this model was made without a source of regions");
}

}  // namespace opencloc
