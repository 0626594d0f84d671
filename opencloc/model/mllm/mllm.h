// A multimodal language model: an image tower's tokens, projected, stand in the language model's
// sequence where the picture is, and a region's vector where the text speaks of it (Liu et al.,
// "Visual Instruction Tuning", 2023; You et al., "Ferret", 2023). The region's vector comes from
// Ferret's sampler or, as in CLOC (arXiv 2410.02746, section 4.4), from the Prompter.
//
// The image tower is another model (model/cloc): frozen or trained, it hands its tokens in.
#pragma once

#include <cstdint>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/layers/layers.h"
#include "opencloc/model/mllm/language_model.h"
#include "opencloc/model/mllm/projector.h"
#include "opencloc/model/mllm/region_sampler.h"

namespace opencloc {

// Where a region's vector comes from: there is none, and words alone say where it is; the mean of
// its points' tokens; Ferret's sampler; an embedding of the Prompter (or of any other source).
enum class RegionSource { kNone, kMean, kSampler, kEmbedding };

struct MllmConfig {
  LanguageConfig language;
  int64_t token_width = 0;  // D, of the image's tokens
  // Ids that stand for a token of the picture and for a region. A sequence has the first as often
  // as a picture has tokens.
  int64_t image_id = -1;
  int64_t region_id = -1;
  RegionSource region_source = RegionSource::kNone;
  RegionSamplerConfig sampler;  // kSampler: its widths are those above
  int64_t embedding_width = 0;  // kEmbedding: E
};

// The regions of a batch, in the order in which the sequences name them.
struct MllmRegions {
  torch::Tensor image_index;  // [R]
  torch::Tensor points;       // [R, P, 2] for kMean and kSampler (region_sampler.h)
  torch::Tensor embeddings;   // [R, E] for kEmbedding
};

// Parameters: language_model, multi_modal_projector, and region_sampler or region_projector.
class MllmImpl : public torch::nn::Module {
 public:
  explicit MllmImpl(const MllmConfig& config);

  const MllmConfig& config() const { return config_; }

  // What the language model reads. ids [B, T] int64; tokens [B, N, D], the picture of each
  // sequence; regions where the ids name some -> [B, T, H]
  torch::Tensor embed(const torch::Tensor& ids, const torch::Tensor& tokens,
                      const MllmRegions& regions);
  // embed() and the language model: what the next word at each place is read off -> [B, T, H]
  torch::Tensor forward(const torch::Tensor& ids, const torch::Tensor& tokens,
                        const MllmRegions& regions) {
    return language_model(embed(ids, tokens, regions));
  }

  LanguageModel language_model{nullptr};

 private:
  torch::Tensor region_vectors(const torch::Tensor& tokens, const MllmRegions& regions);  // [R, H]

  MllmConfig config_;
  Projector projector_{nullptr};
  RegionSampler sampler_{nullptr};    // kSampler
  Linear region_projector_{nullptr};  // kMean [H, D], kEmbedding [H, E]
};
TORCH_MODULE(Mllm);

}  // namespace opencloc
