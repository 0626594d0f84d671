#include <torch/utils.h>

#include "opencloc/bench/operations.h"
#include "opencloc/bench/precision.h"
#include "opencloc/bench/subjects.h"

namespace opencloc::bench {

void encode(const BenchOptions& options) {
  const torch::NoGradGuard no_grad;
  std::vector<std::string> models{"ViT-B-16", "ViT-L-14-336"};
  if (!options.model.empty()) models = {options.model};
  const auto device = device_of(options);
  const std::string suffix = device.is_cpu() ? "" : "/" + options.device;
  std::vector<int64_t> batches{1, 8, 32};
  if (options.batch > 0) batches = {options.batch};
  for (const std::string& name : models) {
    const ModelConfig config = load_model_config(name);
    const int64_t side = config.vision.image_size;
    const double operations = image_operations(config);
    for (const BenchPrecision& precision : precisions_of(options)) {
      torch::manual_seed(1);
      Cloc model(config);
      model->eval();
      model->to(device);
      apply(precision, model);
      for (const int64_t batch : batches) {
        const auto pixels = torch::randn({batch, 3, side, side}).to(device);
        const Spent spent =
            time_of(options.seconds, [&] { wait_for(model->encode_image(pixels).embedding); });
        auto figure = figure_of(
            "encode/" + name + "/" + precision.name + "/b" + std::to_string(batch) + suffix,
            static_cast<double>(batch), spent);
        figure.gflops = figure.items_per_s * operations * 1e-9;
        figure.peak = peak_of(precision, device);
        report(options, figure);
      }
    }
  }
}

}  // namespace opencloc::bench
