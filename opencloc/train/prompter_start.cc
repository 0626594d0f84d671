#include "opencloc/train/prompter_start.h"

#include <algorithm>
#include <vector>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/random_streams.h"
#include "opencloc/base/rng.h"
#include "opencloc/model/clip/preprocess.h"

namespace opencloc {
namespace {

constexpr int kStartPictures = 64;
constexpr int kStartBatch = 16;
constexpr double kLeastDeviation = 1e-6;  // of a channel that never changes

// Up to kStartPictures random pictures, [3, S, S] each. Broken ones are left to training to count.
std::vector<torch::Tensor> random_pictures(const SampleStore& store, const ModelConfig& config,
                                           uint64_t seed) {
  Rng rng(seed, {random_stream::kPrompterStart});
  std::vector<torch::Tensor> pictures;
  for (int i = 0; i < kStartPictures; ++i) {
    const auto source = static_cast<int>(rng.below(static_cast<uint64_t>(store.sources())));
    try {
      const Record record = store.read(source, rng.below(store.size(source)));
      pictures.push_back(preprocess(Image::decode(record.image, record.key), config).pixels);
    } catch (const BadSample&) {
      continue;
    } catch (const Error&) {
      continue;  // does not decode
    }
  }
  return pictures;
}

// Mean and deviation of each channel over x [n, D] -> [D] each.
struct Channels {
  torch::Tensor mean, deviation;
};
Channels channels_of(const torch::Tensor& x) {
  return {x.mean(0), x.std(0, /*unbiased=*/false).clamp_min(kLeastDeviation)};
}

}  // namespace

void start_from_tokens(Cloc& model, const SampleStore& store, uint64_t seed) {
  const torch::NoGradGuard no_grad;
  const auto pictures = random_pictures(store, model->config(), seed);
  if (pictures.empty()) return;
  const auto device = model->logit_scale.device();
  std::vector<torch::Tensor> parts;
  for (size_t begin = 0; begin < pictures.size(); begin += kStartBatch) {
    const size_t end = std::min(pictures.size(), begin + kStartBatch);
    const std::vector<torch::Tensor> some(pictures.begin() + static_cast<std::ptrdiff_t>(begin),
                                          pictures.begin() + static_cast<std::ptrdiff_t>(end));
    const auto features = model->encode_image(torch::stack(some).to(device));
    parts.push_back(patch_tokens(features.for_regions()).flatten(0, 1));  // [b N, D]
  }
  const auto tokens = torch::cat(parts);  // [n, D]
  const int64_t width = tokens.size(1);

  const auto parameters = model->prompter->named_parameters();
  auto gain = parameters["ln_image.weight"], offset = parameters["ln_image.bias"];
  const auto content = channels_of(torch::layer_norm(tokens, {width}));
  gain.copy_(1 / content.deviation);
  offset.copy_(-content.mean / content.deviation);
  if (model->config().cloc.pool == Pool::kAll) return;  // its values are normed tokens, too

  const auto raw = channels_of(tokens);
  auto values = parameters["block.attn.in_proj_weight"].slice(0, 2 * width);  // [D, D]
  auto bias = parameters["block.attn.in_proj_bias"].slice(0, 2 * width);      // [D]
  values.div_(raw.deviation);
  bias.sub_(values.mv(raw.mean));
}

}  // namespace opencloc
