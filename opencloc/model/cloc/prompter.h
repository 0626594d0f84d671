// The Prompter (arXiv 2410.02746, section 3.2): one transformer layer, single head, over prompt
// tokens prepended to the image tokens; its own average pool and projection. The ViT runs once an
// image, the Prompter once a prompt. With pool `prompt` the prompt tokens read the image tokens and
// not one another (docs/decisions/prompter_start.md). With pool `all`, the paper's reading, what a
// prompt costs is its tokens' attention and the first product of the MLP over all tokens: the
// image's attention to itself, its output projection and the second product are not made again.
#pragma once

#include <vector>

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "opencloc/model/clip/features.h"
#include "opencloc/model/cloc/prompt.h"
#include "opencloc/model/config/config.h"
#include "opencloc/model/layers/transformer.h"

namespace opencloc {

class PrompterImpl : public torch::nn::Module {
 public:
  explicit PrompterImpl(const ModelConfig& config);

  // Where the configuration says several layers: what is read of them, layers [B, T, D] each in the
  // order of VisionConfig::several_layers -> [B, T, D].
  torch::Tensor sum_of_layers(const std::vector<torch::Tensor>& layers);
  // image_tokens [B, T, D]: ImageFeatures::for_regions().
  PromptContext prepare(const torch::Tensor& image_tokens);
  // R prompts -> [R, E], not normalised.
  torch::Tensor forward(const PromptContext& context, const PromptBatch& prompts);
  // Of prompts of one token: ClocImpl::log_attention_inside().
  torch::Tensor log_attention_inside(const PromptContext& context, const PromptBatch& prompts,
                                     const torch::Tensor& boxes);

 private:
  void start_as_average_around_own_place();
  torch::Tensor places_of(const torch::Tensor& tokens);  // [N, D], for tokens [B, T, D]
  // Of a patch beside one of training; 1 at the size of training.
  double token_weight(const torch::Tensor& tokens) const;
  torch::Tensor prompt_tokens(const PromptBatch& prompts);                // [R, P, D]
  torch::Tensor box_tokens(const torch::Tensor& boxes, PromptKind kind);  // [R, 2 or 3, D]
  // What keys and values are made of, [B, T, D] both -> [B, T, 2 D].
  torch::Tensor keys_values(const torch::Tensor& keys, const torch::Tensor& values);
  // The same for pool all, normed tokens [B, T, D] -> [B, T, 2 D].
  torch::Tensor keys_and_outputs(const torch::Tensor& normed);
  torch::Tensor pool_all_in_parts(const PromptContext& context, const torch::Tensor& prompts,
                                  const torch::Tensor& index);
  torch::Tensor pool_all(const PromptContext& context, const torch::Tensor& prompts,
                         const torch::Tensor& index);
  torch::Tensor mean_of_layer(const torch::Tensor& x);
  torch::Tensor pool_prompt(const PromptContext& context, const torch::Tensor& prompts,
                            const torch::Tensor& index);

  ClocConfig config_;
  int64_t width_;
  int64_t encoding_grid_;         // patches along a side, of training
  torch::Tensor type_embedding_;  // [kinds of token, D]
  torch::Tensor patch_encoding_;  // [N, D], constant: a buffer, so that it moves with the weights
  torch::Tensor other_encoding_;  // [N', D]: of the last tokens that came from another image size
  Linear text_in_{nullptr};       // E -> D
  Linear joint_in_{nullptr};      // 2 D -> D, only of a joint_box_token around the centre
  std::vector<LayerNorm> ln_layers_;  // only with several_layers
  LayerNorm ln_image_{nullptr};
  Block block_{nullptr};
  LayerNorm ln_post_{nullptr};
  torch::Tensor proj_;  // [D, E]
};
TORCH_MODULE(Prompter);

}  // namespace opencloc
