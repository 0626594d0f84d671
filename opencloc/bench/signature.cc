#include <array>
#include <cstdio>

#include <torch/utils.h>
#include <torch/version.h>

#include "opencloc/base/rng.h"
#include "opencloc/bench/made_up_batch.h"
#include "opencloc/bench/precision.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/kernels/isa/isa.h"
#include "opencloc/kernels/parallel.h"
#include "opencloc/model/clip/preprocess.h"
#include "opencloc/train/optimizer.h"
#include "opencloc/train/step.h"

namespace opencloc::bench {
namespace {

constexpr uint64_t kSeed = 20'241'002;  // fixed: the signature is no matter of --seed

// FNV-1a over the bytes of numbers.
class Hash {
 public:
  void add(const torch::Tensor& tensor) {
    if (!tensor.defined()) return;
    const auto dense = tensor.detach().contiguous();
    const auto* byte = static_cast<const unsigned char*>(dense.data_ptr());
    for (size_t i = 0; i < dense.nbytes(); ++i) {
      state_ = (state_ ^ byte[i]) * 0x100000001b3ULL;
    }
  }
  void add(double value) { add(torch::tensor(value, torch::kDouble)); }
  std::string text() const {
    std::array<char, 17> digits{};
    std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(state_));
    return digits.data();
  }

 private:
  uint64_t state_ = 0xcbf29ce484222325ULL;
};

struct Variant {
  const char* architecture;
  void (*change)(ModelConfig& config);
};
// Between them every part of the pipeline: both pools, RoIAlign, the sigmoid loss, a captioner.
constexpr Variant kVariants[] = {
    {"ViT-XXS-16-96", [](ModelConfig& config) { config.cloc.pool = Pool::kPrompt; }},
    {"ViT-XXS-16-96", [](ModelConfig& config) { config.cloc.pool = Pool::kAll; }},
    {"ViT-XXS-16-96",
     [](ModelConfig& config) {
       config.cloc.region_extractor = RegionExtractor::kRoiAlign;
       config.init_logit_bias = -10;
       config.quick_gelu = true;
     }},
    {"coca-XXS-16-96", [](ModelConfig&) {}},
};

NamedTensors all_weights(const Cloc& model) {
  auto weights = model->clip_weights();
  for (auto& weight : model->region_weights()) weights.push_back(weight);
  return weights;
}

// Numbers of our own: torch's differ between its versions.
void set_weights(Cloc& model) {
  const torch::NoGradGuard no_grad;
  uint64_t index = 0;
  for (auto& [name, weight] : all_weights(model)) {
    Rng rng(kSeed, {index++});
    if (weight.dim() == 0) continue;  // temperatures keep their start
    const double spread = weight.dim() == 1 ? 0.1 : 0.06;
    const double centre = weight.dim() == 1 && name.ends_with("weight") ? 1 : 0;
    auto values = torch::empty(weight.sizes());
    float* value = values.data_ptr<float>();
    for (int64_t i = 0; i < values.numel(); ++i)
      value[i] = static_cast<float>(centre + spread * rng.normal());
    weight.copy_(values);
  }
}

// In order on one thread, whatever the number of threads.
double sum_of_magnitudes(const torch::Tensor& tensor) {
  const auto dense = tensor.detach().contiguous();
  double sum = 0;
  for (int64_t i = 0; i < dense.numel(); ++i)
    sum += std::abs(static_cast<double>(dense.data_ptr<float>()[i]));
  return sum;
}

struct Signature {
  Hash hash;
  double loss = 0, grad_norm = 0, weights = 0, embeddings = 0;  // sums over the variants
};

// Two steps of training, gradients and weights after each.
void sign_training(Cloc& model, const Batch& batch, Signature& signature) {
  AdamW optimizer(all_weights(model), {});
  const auto* row = find_objective(model->config().multimodal ? "coca" : "cloc");
  ObjectiveOptions options;
  for (const auto kind : {GroundingKind::kL1Giou, GroundingKind::kL2}) {
    options.grounding_kind = kind;
    const auto objective = row->make(model, options);
    objective->load_state({{"open", true}}, "signature");  // the text filter
    const StepResult result = forward_backward(*objective, batch);
    signature.hash.add(result.loss);
    signature.loss += result.loss;
    for (const auto& [name, weight] : all_weights(model)) signature.hash.add(weight.grad());
    hold_capped_logit_scales(model);
    const double norm = optimizer.grad_norm();
    signature.grad_norm += norm;
    optimizer.step(1e-3, norm);
    optimizer.zero_grad();
    clamp_logit_scales(model);
    for (const auto& [name, weight] : all_weights(model)) {
      signature.hash.add(weight);
      signature.weights += sum_of_magnitudes(weight);
    }
  }
}

// What a picture and texts become, with weights packed for inference.
void sign_inference(Cloc& model, const Batch& batch, Signature& signature) {
  const torch::NoGradGuard no_grad;
  model->eval();
  const auto keep = [&](const torch::Tensor& tensor) {
    signature.hash.add(tensor);
    signature.embeddings += sum_of_magnitudes(tensor);
  };
  Rng rng(kSeed, {1000});
  Image picture(150, 110);
  for (uint8_t& value : picture.pixels) value = static_cast<uint8_t>(rng.next());
  const auto pixels = preprocess(picture, model->config()).pixels.unsqueeze(0);  // [1, 3, S, S]
  auto features = model->encode_image(torch::cat({pixels, batch.pixels}));
  keep(features.embedding);
  const auto texts = model->encode_text(batch.region_ids);  // [R, E]
  keep(texts);
  if (model->config().multimodal) return keep(features.captioning);
  model->prepare_prompts(features);
  keep(model->encode_regions(features, box_prompts(batch.boxes, batch.region_image)));
  keep(model->ground(features, texts, batch.region_image));
  keep(model->roi_align_regions(features.tokens, batch.boxes, batch.region_image));
}

Signature sign(const BenchPrecision& precision) {
  Signature signature;
  for (const Variant& variant : kVariants) {
    ModelConfig config = load_model_config(variant.architecture);
    config.text.vocab_size = 512;
    variant.change(config);
    const bool captioner = config.multimodal.has_value();
    const bool prompter = config.cloc.region_extractor == RegionExtractor::kPrompter;
    const BatchShape shape{.images = 9,
                           .regions_per_image = captioner ? 1 : 3,
                           .shortest_caption = 5,
                           .longest_caption = 20,
                           .distinct_phrases = 20,
                           .start_id = 510,
                           .end_id = 511,
                           .mixed_prompts = prompter && !captioner};
    const Batch batch = made_up_batch(config, shape, kSeed);
    Cloc model(config);
    set_weights(model);
    apply(precision, model);
    if (precision.prepare == nullptr) sign_training(model, batch, signature);
    sign_inference(model, batch, signature);
  }
  return signature;
}

}  // namespace

void signature(const BenchOptions& options) {
  // oneDNN's F32 products promise the same bits for one number of threads alone.
  kernels::set_thread_count(1);
  const kernels::Isa active = kernels::active_isa();
  std::vector<kernels::Isa> isas{active};
  if (active != kernels::Isa::kScalar) isas.insert(isas.begin(), kernels::Isa::kScalar);
  for (const kernels::Isa isa : isas) {
    kernels::set_active_isa(isa);
    for (const BenchPrecision& precision : precisions_of(options)) {
      const Signature signature = sign(precision);
      Figure figure;
      figure.name = std::string("signature/") + precision.name + "/" + kernels::to_string(isa);
      figure.more["hash"] = signature.hash.text();
      if (precision.prepare == nullptr) {
        figure.more["loss"] = signature.loss;
        figure.more["grad_norm"] = signature.grad_norm;
        figure.more["weights"] = signature.weights;
      }
      figure.more["embeddings"] = signature.embeddings;
      figure.more["libtorch"] = TORCH_VERSION;
      report(options, figure);
    }
  }
  kernels::set_active_isa(active);
  kernels::set_thread_count(options.threads);
}

}  // namespace opencloc::bench
