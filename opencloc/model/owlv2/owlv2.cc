#include "opencloc/model/owlv2/owlv2.h"

#include <torch/nn/functional/upsampling.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/ops/product.h"

namespace opencloc {
namespace {

constexpr double kNormEpsilon = 1e-6;  // the authors' own, for the class head

torch::Tensor unit(const torch::Tensor& x) { return x / (x.norm(2, -1, true) + kNormEpsilon); }

torch::Tensor inverse_sigmoid(const torch::Tensor& p) {
  constexpr double kEpsilon = 1e-4;
  return torch::log(p + kEpsilon) - torch::log1p(-p + kEpsilon);
}

// Every patch predicts relative to its lower right corner and to a box of its own size.
torch::Tensor box_bias(int64_t grid) {
  const auto cell = torch::arange(1, grid + 1, torch::kFloat) / static_cast<double>(grid);  // [G]
  const auto x = cell.view({1, grid}).expand({grid, grid});
  const auto y = cell.view({grid, 1}).expand({grid, grid});
  const auto corner = torch::stack({x, y}, -1).reshape({grid * grid, 2}).clamp(0, 1);  // [N, 2]
  const auto size = torch::full({grid * grid, 2}, 1.0 / static_cast<double>(grid));    // [N, 2]
  return torch::cat({inverse_sigmoid(corner), inverse_sigmoid(size)}, 1);              // [N, 4]
}

}  // namespace

Owlv2MlpImpl::Owlv2MlpImpl(int64_t width, int64_t out) {
  dense0_ = register_module("dense0", Linear(width, width));
  dense1_ = register_module("dense1", Linear(width, width));
  dense2_ = register_module("dense2", Linear(width, out));
}

torch::Tensor Owlv2MlpImpl::forward(const torch::Tensor& x) {
  const auto hidden = ops::gelu(dense0_(x), ops::Gelu::kErf);
  return dense2_(ops::gelu(dense1_(hidden), ops::Gelu::kErf));
}

Owlv2Impl::Owlv2Impl(const ModelConfig& config) : config_(config) {
  TORCH_CHECK(config.embed_dim == config.text.width, "OWLv2 compares at the text tower's width");
  const int64_t width = config.vision.width;
  visual = register_module("visual", VisionTower(config));
  text = register_module("text", TextTower(config));
  logit_scale = register_parameter("logit_scale", torch::zeros({}));
  layer_norm_ = register_module("layer_norm", LayerNorm(width));
  auto class_head = register_module("class_head", std::make_shared<torch::nn::Module>("class"));
  class_dense_ = class_head->register_module("dense0", Linear(width, config.embed_dim));
  class_shift_ = class_head->register_module("logit_shift", Linear(width, 1));
  class_scale_ = class_head->register_module("logit_scale", Linear(width, 1));
  box_head_ = register_module("box_head", Owlv2Mlp(width, 4));
  objectness_head_ = register_module("objectness_head", Owlv2Mlp(width, 1));
  box_bias_ = register_buffer("box_bias", box_bias(config.vision.grid()));
}

Owlv2Features Owlv2Impl::encode_image(const torch::Tensor& pixels) {
  const ComputeScope scope(precision_, backend_);
  const auto tokens = visual->post_norm(visual(pixels).tokens);  // [B, 1+N, D]
  Owlv2Features features;
  features.patches = layer_norm_(tokens.slice(1, 1) * tokens.slice(1, 0, 1));      // [B, N, D]
  features.class_embeds = unit(class_dense_(features.patches).to(torch::kFloat));  // [B, N, E]
  features.boxes = torch::sigmoid(box_head_(features.patches) + box_bias_);        // [B, N, 4]
  features.objectness_logits =
      objectness_head_(features.patches).squeeze(-1).to(torch::kFloat);  // [B, N]
  return features;
}

torch::Tensor Owlv2Impl::encode_queries(const torch::Tensor& ids) {
  const ComputeScope scope(precision_, backend_);
  const auto embeddings = text(ids).to(torch::kFloat);  // [Q, E]
  return embeddings / embeddings.norm(2, -1, true);
}

torch::Tensor Owlv2Impl::class_logits(const Owlv2Features& features, const torch::Tensor& queries) {
  const ComputeScope scope(precision_, backend_);
  const auto& patches = features.class_embeds;
  const auto similarity =  // [B, N, Q]
      queries.dim() == 2 ? ops::product_nt(patches.flatten(0, 1), unit(queries))
                               .view({patches.size(0), patches.size(1), queries.size(0)})
                         : torch::matmul(patches, unit(queries).transpose(-2, -1));
  const auto shift = class_shift_(features.patches);                  // [B, N, 1]
  const auto scale = torch::elu(class_scale_(features.patches)) + 1;  // [B, N, 1]
  return (similarity + shift) * scale;
}

Owlv2 at_resolution(const Owlv2& model, int64_t image_size) {
  const auto& old_config = model->config();
  const int64_t patch = old_config.vision.patch_size, width = old_config.vision.width;
  if (image_size < patch || image_size % patch != 0) {
    throw Error::input("a resolution of " + std::to_string(image_size) +
                           " pixels is no multiple of the patch size",
                       "setting 'resolution'", "use a multiple of " + std::to_string(patch));
  }
  if (image_size == old_config.vision.image_size) return model;
  ModelConfig config = old_config;
  config.vision.image_size = image_size;
  Owlv2 resized(config);
  resized->set_precision(model->precision());
  resized->set_backend(model->backend());
  const torch::NoGradGuard no_grad;
  const auto weights = model->named_parameters();
  for (auto& item : resized->named_parameters()) {
    const auto& source = weights[item.key()];
    if (item.key() != "visual.positional_embedding") {
      item.value().copy_(source);
      continue;
    }
    const int64_t from = old_config.vision.grid(), to = config.vision.grid();
    const auto patches = source.slice(0, 1).reshape({1, from, from, width}).permute({0, 3, 1, 2});
    namespace functional = torch::nn::functional;
    const auto moved =
        functional::interpolate(patches.contiguous(), functional::InterpolateFuncOptions()
                                                          .size(std::vector<int64_t>{to, to})
                                                          .mode(torch::kBicubic)
                                                          .align_corners(false));  // [1, D, G, G]
    item.value().slice(0, 0, 1).copy_(source.slice(0, 0, 1));
    item.value().slice(0, 1).copy_(moved.permute({0, 2, 3, 1}).reshape({to * to, width}));
  }
  resized->eval();
  return resized;
}

}  // namespace opencloc
