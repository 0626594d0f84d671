#include "opencloc/objective/masks.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

namespace opencloc {
namespace {

std::vector<int64_t> row(const torch::Tensor& values, int64_t i) {
  const auto line = values[i].to(torch::kInt64).contiguous();
  return {line.data_ptr<int64_t>(), line.data_ptr<int64_t>() + line.numel()};
}

using Places = std::vector<int64_t>;

TEST(Masks, TheLowestPatchesAreSeen) {
  const auto order = torch::tensor({{0.9F, 0.1F, 0.5F, 0.3F}, {0.2F, 0.8F, 0.1F, 0.9F}});
  const Masks masks = mask_patches(order, 0.5);
  EXPECT_EQ(row(masks.keep, 0), (Places{1, 3}));
  EXPECT_EQ(row(masks.keep, 1), (Places{0, 2}));
  EXPECT_EQ(row(masks.hidden, 0), (Places{1, 0, 1, 0}));
  EXPECT_EQ(mask_patches(order, 0.999).keep.size(1), 1);  // something is always seen
}

TEST(Masks, PaddingIsNeitherSeenNorRestored) {
  const auto order = torch::tensor({{2.0F, 0.6F, 0.5F, 2.0F}});
  const Masks masks = mask_patches(order, 0.75);
  EXPECT_EQ(row(masks.keep, 0), (Places{2}));
  EXPECT_EQ(row(masks.hidden, 0), (Places{0, 1, 0, 0}));
}

TEST(Masks, AShareOfTheRealPatchesIsHidden) {
  const auto order = torch::tensor({{0.9F, 0.1F, 0.5F, 0.3F},
                                    {2.0F, 0.6F, 0.5F, 2.0F},
                                    {2.0F, 2.0F, 0.3F, 2.0F},
                                    {2.0F, 2.0F, 2.0F, 2.0F}});
  const auto hidden = hide_patches(order, 0.5);
  EXPECT_EQ(row(hidden, 0), (Places{1, 0, 1, 0}));
  EXPECT_EQ(row(hidden, 1), (Places{0, 1, 0, 0}));
  EXPECT_EQ(row(hidden, 2), (Places{0, 0, 1, 0}));  // one at least
  EXPECT_EQ(row(hidden, 3), (Places{0, 0, 0, 0}));
  EXPECT_EQ(row(real_patches(order), 1), (Places{0, 1, 1, 0}));
  const auto first = order.slice(0, 0, 1);
  EXPECT_TRUE(torch::equal(hide_patches(first, 0.75), mask_patches(first, 0.75).hidden));
}

TEST(Masks, TheEndOfATextIsSeenAndOneWordIsHidden) {
  const auto order = torch::tensor({{0.9F, 0.1F, 0.5F, 0.3F, 0.7F, 0.2F},
                                    {0.5F, 0.4F, 0.3F, 0.2F, 0.1F, 0.0F},
                                    {0.5F, 0.4F, 0.3F, 0.2F, 0.1F, 0.0F}});
  // Four words and the end; one word and the end; the end only.
  const Masks masks = mask_words(order, torch::tensor({5, 2, 1}, torch::kInt64), 0.5);
  EXPECT_EQ(row(masks.keep, 0), (Places{1, 3, 4}));
  EXPECT_EQ(row(masks.hidden, 0), (Places{1, 0, 1, 0, 0, 0}));
  EXPECT_EQ(row(masks.keep, 1), (Places{1, 6, 6}));  // 6: there are no more
  EXPECT_EQ(row(masks.hidden, 1), (Places{1, 0, 0, 0, 0, 0}));
  EXPECT_EQ(row(masks.keep, 2), (Places{0, 6, 6}));
  EXPECT_FALSE(masks.hidden[2].any().item<bool>());
}

}  // namespace
}  // namespace opencloc
