#include <torch/utils.h>

#include "opencloc/bench/operations.h"
#include "opencloc/bench/precision.h"
#include "opencloc/bench/subjects.h"

namespace opencloc::bench {
namespace {

struct Encoder {
  const char* name;  // of its figures
  // Operations of one item of the largest size, and the work on [B, ...] made-up items -> [B, E].
  double (*operations)(const ModelConfig&);
  torch::Tensor (*items)(const ModelConfig&, int64_t batch);
  torch::Tensor (*embed)(Cloc&, const torch::Tensor&);
};

const Encoder kImageEncoder{
    "encode", image_operations,
    [](const ModelConfig& config, int64_t batch) {
      const int64_t side = config.vision.image_size;
      return torch::randn({batch, 3, side, side});
    },
    [](Cloc& model, const torch::Tensor& pixels) { return model->encode_image(pixels).embedding; }};

const Encoder kTextEncoder{
    "text",
    [](const ModelConfig& config) { return text_operations(config, config.text.context_length); },
    [](const ModelConfig& config, int64_t batch) {
      const int64_t end = config.text.vocab_size - 1;  // the highest id, in the last place
      auto ids = torch::randint(1, end, {batch, config.text.context_length}, torch::kInt64);
      ids.select(1, -1).fill_(end);
      return ids;
    },
    [](Cloc& model, const torch::Tensor& ids) { return model->encode_text(ids); }};

void measure(const BenchOptions& options, const Encoder& encoder, std::vector<std::string> models) {
  const torch::NoGradGuard no_grad;
  if (!options.model.empty()) models = {options.model};
  const auto device = device_of(options);
  const std::string suffix = device.is_cpu() ? "" : "/" + options.device;
  std::vector<int64_t> batches{1, 8, 32};
  if (options.batch > 0) batches = {options.batch};
  for (const std::string& name : models) {
    const ModelConfig config = load_model_config(name);
    const double operations = encoder.operations(config);
    for (const BenchPrecision& precision : precisions_of(options)) {
      torch::manual_seed(1);
      Cloc model(config);
      model->eval();
      model->to(device);
      apply(precision, model);
      for (const int64_t batch : batches) {
        const auto items = encoder.items(config, batch).to(device);
        const Spent spent =
            time_of(options.seconds, [&] { wait_for(encoder.embed(model, items)); });
        auto figure = figure_of(std::string(encoder.name) + "/" + name + "/" + precision.name +
                                    "/b" + std::to_string(batch) + suffix,
                                static_cast<double>(batch), spent);
        figure.gflops = figure.items_per_s * operations * 1e-9;
        figure.peak = peak_of(precision, device);
        report(options, figure);
      }
    }
  }
}

}  // namespace

void encode(const BenchOptions& options) {
  measure(options, kImageEncoder, {"ViT-B-16", "ViT-L-14-336"});
}

void text(const BenchOptions& options) { measure(options, kTextEncoder, {"ViT-B-16", "ViT-L-14"}); }

}  // namespace opencloc::bench
