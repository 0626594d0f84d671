#include "opencloc/train/accumulate.h"

#include <algorithm>

#include <torch/utils.h>

namespace opencloc {
namespace {

// A leaf with the values of the parts; undefined when the parts are.
torch::Tensor leaf(const std::vector<torch::Tensor>& parts) {
  std::vector<torch::Tensor> defined;
  for (const auto& part : parts) {
    if (part.defined()) defined.push_back(part);
  }
  return defined.empty() ? torch::Tensor() : torch::cat(defined).detach().requires_grad_();
}

// <values, rows [begin, end) of the leaf's gradient>: backward of it injects that gradient.
// 0 where nothing behind the values learns, or the loss did not look at them.
torch::Tensor injected(const torch::Tensor& values, const torch::Tensor& source, int64_t begin,
                       int64_t end) {
  if (!values.requires_grad() || !source.grad().defined())
    return torch::zeros({}, values.options());
  return (values * source.grad().slice(0, begin, end)).sum();
}

bool learns(const torch::nn::Module& module) {
  const auto parameters = module.parameters();
  return std::any_of(parameters.begin(), parameters.end(),
                     [](const torch::Tensor& parameter) { return parameter.requires_grad(); });
}

}  // namespace

StepStats cached_forward_backward(Cloc& model, const Batch& batch, const TextBatch& texts,
                                  const StepOptions& options) {
  const int64_t size = (batch.images() + options.accum_freq - 1) / options.accum_freq;
  std::vector<BatchPart> parts;
  for (int64_t begin = 0; begin < batch.images(); begin += size) {
    parts.push_back(batch_part(batch, begin, std::min(batch.images(), begin + size)));
  }
  const auto texts_of = [&](const BatchPart& part, const torch::Tensor& all) {
    return all.index_select(0, texts.region_row.slice(0, part.first_region, part.end_region));
  };

  StepOutputs cached;
  {
    const torch::NoGradGuard no_grad;
    cached.texts = encode_texts(model, texts).detach();
    std::vector<torch::Tensor> image, regions, predicted, recovered;
    for (const auto& part : parts) {
      const auto out =
          encode_images(model, part.batch, texts_of(part, cached.texts), options.forward);
      image.push_back(out.image);
      regions.push_back(out.regions);
      predicted.push_back(out.predicted);
      recovered.push_back(out.recovered);
    }
    cached.images = {leaf(image), leaf(regions), leaf(predicted), leaf(recovered)};
  }
  cached.texts.requires_grad_();

  StepStats stats;
  const auto loss = step_loss(model, cached, texts, batch, options, stats);
  if (!stats.finite()) return stats;
  loss.backward();

  int64_t image_row = 0;
  for (const auto& part : parts) {
    const auto out =
        encode_images(model, part.batch, texts_of(part, cached.texts), options.forward);
    auto sum = injected(out.image, cached.images.image, image_row, image_row + out.image.size(0));
    if (out.regions.defined()) {
      sum = sum + injected(out.regions, cached.images.regions, part.first_region, part.end_region);
    }
    if (out.predicted.defined()) {
      sum = sum +
            injected(out.predicted, cached.images.predicted, part.first_region, part.end_region);
    }
    if (out.recovered.defined()) {
      sum = sum +
            injected(out.recovered, cached.images.recovered, part.first_region, part.end_region);
    }
    if (sum.requires_grad()) sum.backward();  // grounding adds to cached.texts' gradient
    image_row += out.image.size(0);
  }
  if (!learns(*model->text)) return stats;
  int64_t text_row = 0;
  for (const auto& group : texts.groups) {
    const auto out = model->encode_text(group);  // [u, E]
    injected(out, cached.texts, text_row, text_row + out.size(0)).backward();
    text_row += out.size(0);
  }
  return stats;
}

}  // namespace opencloc
