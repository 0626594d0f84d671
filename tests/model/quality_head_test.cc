#include <gtest/gtest.h>
#include <torch/utils.h>

#include "small_model.h"

namespace opencloc {
namespace {

Cloc model_with(bool head, RegionExtractor extractor = RegionExtractor::kPrompter) {
  ModelConfig config = fixtures::small_config();
  config.cloc.quality_head = head;
  config.cloc.region_extractor = extractor;
  torch::manual_seed(3);
  return Cloc(config);
}

TEST(QualityHead, GivesANumberForEveryRegionOfEveryExtractor) {
  for (const auto extractor : {RegionExtractor::kPrompter, RegionExtractor::kRoiAlign}) {
    Cloc model = model_with(true, extractor);
    const auto features = model->encode_image(torch::randn({2, 3, 32, 32}));
    const auto boxes = torch::tensor({{0.1f, 0.1f, 0.5f, 0.6f}, {0.0f, 0.0f, 1.0f, 1.0f}});
    const auto z = model->encode_regions(features, box_prompts(boxes, torch::tensor({0, 1})));
    const auto logits = model->quality_logits(z);
    EXPECT_EQ(logits.sizes(), (std::vector<int64_t>{2}));
    EXPECT_NE(logits[0].item<float>(), logits[1].item<float>());
    EXPECT_EQ(model->quality_logits(z.slice(0, 0, 0)).size(0), 0);
  }
}

TEST(QualityHead, ChangesNoOtherWeight) {
  const auto plain = model_with(false)->named_parameters(),
             with_head = model_with(true)->named_parameters();
  EXPECT_EQ(with_head.size(), plain.size() + 4);
  for (const auto& item : plain)
    EXPECT_TRUE(torch::equal(item.value(), with_head[item.key()])) << item.key();
}

TEST(QualityHead, IsInTheConfigurationOnlyWhereThereIsOne) {
  ClocConfig config;
  EXPECT_FALSE(cloc_config_json(config).contains("quality_head"));
  EXPECT_FALSE(cloc_config_from_json(cloc_config_json(config), "test").quality_head);
  config.quality_head = true;
  EXPECT_TRUE(cloc_config_from_json(cloc_config_json(config), "test").quality_head);
}

}  // namespace
}  // namespace opencloc
