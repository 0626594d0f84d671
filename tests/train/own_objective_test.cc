// An objective of one's own: a class, a line of the table, and everything else is there: the step
// in one graph or in parts, runs, metrics, checkpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/objective/batch_parts.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/step.h"
#include "tests/model/small_model.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

// Pictures alone: the uniformity of Wang and Isola (2020, section 4.1.2),
//   log mean_ij exp(-2 |f_i - f_j|^2), which every picture of the batch enters.
class UniformityWork : public BatchWork {
 public:
  UniformityWork(const Cloc& model, const Batch& batch, int64_t parts)
      : model_(model), parts_(cut_batch(batch, parts)) {}
  int64_t pieces() const override { return static_cast<int64_t>(parts_.size()); }
  Encoded encode(int64_t piece, const NamedRows& /*before*/, bool /*own_loss*/) override {
    Encoded encoded;
    encoded.rows.append(
        "image", model_->encode_image(parts_[static_cast<size_t>(piece)].batch.pixels).embedding);
    return encoded;
  }
  Loss loss(const NamedRows& rows) override {
    const auto f = normalized(rows["image"]);  // [B, E]
    Loss loss{torch::exp(4 * (f.matmul(f.t()) - 1)).mean().log(), {}};
    loss.figures.sum("loss_uniformity", loss.value);
    return loss;
  }

 private:
  Cloc model_;
  std::vector<BatchPart> parts_;
};

class Uniformity : public Objective {
 public:
  explicit Uniformity(const Cloc& model) : model_(model) {}
  std::unique_ptr<BatchWork> work(const Batch& batch, const WorkOptions& options) override {
    return std::make_unique<UniformityWork>(model_, batch, options.parts);
  }

 private:
  Cloc model_;
};

const ObjectiveRow kUniformity{
    .name = "uniformity",
    .title = "Uniformity",
    .regions = false,
    .captions = false,
    .make = [](const Cloc& model, const ObjectiveOptions&) -> std::unique_ptr<Objective> {
      return std::make_unique<Uniformity>(model);
    }};

TEST(OwnObjective, PartsEqualTheWholeBatch) {
  torch::manual_seed(3);
  Cloc model(load_model_config("ViT-Test"));
  Batch batch;
  batch.pixels = torch::randn({7, 3, 32, 32});
  batch.region_image = torch::empty({0}, torch::kInt64);
  batch.boxes = torch::empty({0, 4});
  const auto objective = kUniformity.make(model, {});
  const auto gradient = [&](int64_t parts) {
    model->zero_grad(/*set_to_none=*/false);
    const auto result = forward_backward(*objective, batch, {.accum_freq = parts});
    EXPECT_NEAR(result.loss, result.figures.at("loss_uniformity"), 1e-6);
    return model->visual->parameters()[0].grad().clone();
  };
  const auto whole = gradient(1);
  EXPECT_GT(whole.abs().max().item<float>(), 0);
  for (const int64_t parts : {2, 7}) {
    const double off = (gradient(parts) - whole).abs().max().item<double>();
    EXPECT_LT(off, 1e-4 * whole.abs().max().item<double>());
  }
}

TEST(OwnObjective, ARunTrainsIt) {
  const fixtures::TempFolder folder;
  fixtures::write_squares(folder / "a.tar", 20);
  auto config = fixtures::tiny_config(folder / "a.tar", folder / "run");
  config.objective = &kUniformity;
  train(config);
  const auto lines = read_metrics(folder / "run" / "metrics.jsonl");
  ASSERT_FALSE(lines.empty());
  EXPECT_LT(lines.back()["loss_uniformity"].get<double>(),
            lines.front()["loss_uniformity"].get<double>());
  EXPECT_THAT(read_file(folder / "run" / "report.html"), testing::HasSubstr("Uniformity"));
}

}  // namespace
}  // namespace opencloc
