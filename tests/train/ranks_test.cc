// A step of several processes (threads here) on shares of a batch is the step of one process on all
// of it: the losses, the figures, and the sum of the gradients.
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/model/config/config.h"
#include "opencloc/train/step.h"
#include "tests/dist/thread_group.h"
#include "tests/model/small_coca.h"
#include "tests/train/random_batch.h"

namespace opencloc {
namespace {

// Images [begin, end) of a batch with all that belongs to them.
Batch share_of(const Batch& batch, int64_t begin, int64_t end) {
  Batch share;
  const auto images = [&](const torch::Tensor& t) {
    return t.defined() ? t.slice(0, begin, end).clone() : t;
  };
  share.pixels = images(batch.pixels);
  share.text_ids = images(batch.text_ids);
  share.text_length = images(batch.text_length);
  share.has_text = images(batch.has_text);
  if (!batch.boxes.defined()) return share;
  const auto mine = batch.region_image.ge(begin).logical_and(batch.region_image.lt(end));
  const auto rows = mine.nonzero().squeeze(1);
  const auto regions = [&](const torch::Tensor& t) {
    return t.defined() ? t.index_select(0, rows) : t;
  };
  share.boxes = regions(batch.boxes);
  share.region_image = regions(batch.region_image) - begin;
  share.region_ids = regions(batch.region_ids);
  share.region_length = regions(batch.region_length);
  share.region_text_id = regions(batch.region_text_id);
  share.names_one_box = regions(batch.names_one_box);
  share.images_with_regions = std::get<0>(torch::_unique(share.region_image)).size(0);
  return share;
}

struct Step {
  StepResult result;
  std::vector<torch::Tensor> gradients;
};

using MakeModel = std::function<Cloc()>;

Step run_step(const MakeModel& make, const char* name, bool filter_open, const Batch& batch,
              const StepOptions& options, const ObjectiveOptions& loss = {}) {
  Cloc model = make();
  const auto objective = find_objective(name)->make(model, loss);
  if (filter_open) objective->load_state({{"open", true}}, "test");
  Step step{forward_backward(*objective, batch, options), {}};
  for (const auto& parameter : model->parameters()) {
    const auto& gradient = parameter.grad();
    step.gradients.push_back(gradient.defined() ? gradient.clone() : torch::zeros_like(parameter));
  }
  return step;
}

void expect_ranks_equal_one(const MakeModel& make, const char* name, bool filter_open,
                            const Batch& batch, int64_t accum_freq,
                            const ObjectiveOptions& loss = {}) {
  const Step whole = run_step(make, name, filter_open, batch, {}, loss);
  const int64_t n = batch.images();
  for (const std::vector<int64_t>& sizes :
       {std::vector<int64_t>{n - 3, 3}, {2, 0, n - 2}, {1, 1, 1, n - 3}}) {
    SCOPED_TRACE(testing::PrintToString(sizes));
    std::vector<Step> steps(sizes.size());
    std::mutex models;  // weights are drawn from one generator
    fixtures::run_ranks(static_cast<int>(sizes.size()), [&](dist::Group& group) {
      const auto rank = static_cast<size_t>(group.rank());
      int64_t begin = 0;
      for (size_t r = 0; r < rank; ++r) begin += sizes[r];
      const auto make_alone = [&] {
        const std::lock_guard lock(models);
        return make();
      };
      steps[rank] =
          run_step(make_alone, name, filter_open, share_of(batch, begin, begin + sizes[rank]),
                   {.accum_freq = accum_freq, .group = &group}, loss);
    });
    for (const auto& step : steps) {
      EXPECT_NEAR(step.result.loss, whole.result.loss, 2e-5);
      const Json got = step.result.figures.values(), want = whole.result.figures.values();
      ASSERT_EQ(got.size(), want.size());
      for (const auto& [key, value] : want.items()) {
        if (key == "constant_box_iou" || key == "grounding_spread") continue;  // of each share
        EXPECT_NEAR(got[key].get<double>(), value.get<double>(), 2e-5) << key;
      }
    }
    for (size_t i = 0; i < whole.gradients.size(); ++i) {
      auto sum = torch::zeros_like(whole.gradients[i]);
      for (const auto& step : steps) sum += step.gradients[i];
      const double scale = std::max(1e-4, whole.gradients[i].abs().max().item<double>());
      EXPECT_LT((sum - whole.gradients[i]).abs().max().item<double>(), 3e-4 * scale) << i;
    }
  }
}

Cloc small_cloc() {
  torch::manual_seed(5);
  return Cloc(load_model_config("ViT-Test"));
}

TEST(Ranks, TogetherStepAsOneForCloc) {
  auto batch = fixtures::random_batch(7, {0, 0, 1, 3, 3, 3, 6, 6});
  batch.region_text_id[4] = batch.region_text_id[1].item<int64_t>();
  batch.region_ids[4] = batch.region_ids[1];
  batch.region_length[4] = batch.region_length[1];
  for (const bool filter_open : {false, true})
    expect_ranks_equal_one(small_cloc, "cloc", filter_open, batch, 1);
  expect_ranks_equal_one(small_cloc, "cloc", true, batch, 2);
}

TEST(Ranks, TogetherStepAsOneWithTextContrast) {
  auto batch = fixtures::random_batch(7, {0, 0, 1, 3, 3, 3, 6, 6});
  batch.region_text_id[6] = batch.region_text_id[1].item<int64_t>();  // of another process
  batch.region_ids[6] = batch.region_ids[1];
  batch.region_length[6] = batch.region_length[1];
  ObjectiveOptions loss;
  loss.text_contrast_weight = 0.5;
  loss.text_contrast_threshold = 1;
  for (const int64_t accum_freq : {1, 2})
    expect_ranks_equal_one(small_cloc, "cloc", false, batch, accum_freq, loss);
}

TEST(Ranks, TogetherStepAsOneWithoutSomeTextsAndNames) {
  auto batch = fixtures::random_batch(7, {0, 0, 1, 3, 3, 3, 6, 6});
  batch.has_text = torch::tensor({true, false, false, true, true, true, false});
  batch.names_one_box = torch::tensor({true, false, true, true, false, false, true, true});
  expect_ranks_equal_one(small_cloc, "cloc", false, batch, 1);
  expect_ranks_equal_one(small_cloc, "clip", false, batch, 2);
}

TEST(Ranks, TogetherStepAsOneForSigLip) {
  const auto siglip = [] {
    ModelConfig config = load_model_config("ViT-Test");
    config.init_logit_bias = -10;
    torch::manual_seed(5);
    return Cloc(config);
  };
  expect_ranks_equal_one(siglip, "clip", false, fixtures::random_batch(7, {}), 1);
}

TEST(Ranks, TogetherStepAsOneForCaptioners) {
  torch::manual_seed(6);
  Batch batch;
  batch.pixels = torch::randn({7, 3, 32, 32});
  batch.text_ids = fixtures::random_captions(7, 7);
  batch.text_length = batch.text_ids.ne(0).sum(1);
  const auto coca = [] {
    torch::manual_seed(5);
    return fixtures::random_coca();
  };
  expect_ranks_equal_one(coca, "coca", false, batch, 1);
}

}  // namespace
}  // namespace opencloc
