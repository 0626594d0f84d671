#include "opencloc/eval/metrics.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/encode/regions.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

torch::Tensor ids(std::vector<int64_t> values) { return torch::tensor(values, torch::kInt64); }

TEST(RecallAt, CountsRanksBelowK) {
  const auto ranks = ids({0, 1, 4, 5, 10});
  EXPECT_DOUBLE_EQ(recall_at(ranks, 1), 0.2);
  EXPECT_DOUBLE_EQ(recall_at(ranks, 5), 0.6);
  EXPECT_DOUBLE_EQ(recall_at(ranks, 10), 0.8);
  EXPECT_DOUBLE_EQ(recall_at(ids({}), 1), 0);
}

TEST(RecallAt, WeightsAreRepeatedQueries) {
  EXPECT_DOUBLE_EQ(recall_at(ids({0, 3}), 1, ids({1, 4})), recall_at(ids({0, 3, 3, 3, 3}), 1));
}

TEST(ClassificationFigures, ClassMeanAndInstanceAverageDiffer) {
  // Class 0: 3 of 4 right; class 2: 0 of 1; class 1 does not occur and does not count.
  const Json figures = classification_figures(ids({0, 0, 0, 2, 7}), ids({0, 0, 0, 0, 2}), 3);
  EXPECT_DOUBLE_EQ(figures["acc1"], 0.6);
  EXPECT_DOUBLE_EQ(figures["acc5"], 0.8);
  EXPECT_DOUBLE_EQ(figures["mean_per_class_recall"], 0.375);
  EXPECT_EQ(figures["n"], 5);
}

TEST(WithinImageFigures, OnlyNamesOfTheSamePictureCompete) {
  // Name k is the k-th axis. Picture 0 holds names 0 and 1; picture 1 holds name 2 alone, twice;
  // picture 2 holds 0, 1, 2.
  const auto names = torch::eye(4);
  const auto regions = torch::tensor({{0.5f, 0.1f, 0.0f, 0.9f},  // name 3 is not in the picture
                                      {0.6f, 0.1f, 0.0f, 0.0f},  // wrong
                                      {0.0f, 0.0f, 0.1f, 0.0f},
                                      {0.0f, 0.0f, 0.1f, 0.0f},
                                      {0.3f, 0.1f, 0.2f, 0.0f},    // right
                                      {0.3f, 0.4f, 0.2f, 0.0f},    // right
                                      {0.3f, 0.4f, 0.2f, 0.0f}});  // wrong
  const Json figures =
      within_image_figures(regions, names, ids({0, 1, 2, 2, 0, 1, 2}), ids({0, 0, 1, 1, 2, 2, 2}));
  EXPECT_EQ(figures["within_image_n"], 5);
  EXPECT_DOUBLE_EQ(figures["within_image_acc1"], 3.0 / 5);
  EXPECT_DOUBLE_EQ(figures["within_image_chance"], (2 * 0.5 + 3 * (1.0 / 3)) / 5);
}

TEST(WithinImageFigures, PicturesOfOneNameGiveNoFigure) {
  const auto same = torch::eye(2);
  EXPECT_EQ(within_image_figures(same, same, ids({0, 1}), ids({0, 1})),
            (Json{{"within_image_n", 0}}));
}

TEST(GroundingFigures, ExactBoxesAndConstantBoxes) {
  const std::vector<Box> targets{{0, 0, 0.5f, 0.5f}, {0.5f, 0.5f, 1, 1}, {0, 0, 0.5f, 0.5f}};
  const Json exact = grounding_figures(targets, targets);
  EXPECT_DOUBLE_EQ(exact["acc@0.5"], 1);
  EXPECT_DOUBLE_EQ(exact["mean_iou"], 1);
  EXPECT_DOUBLE_EQ(exact["inverted_share"], 0);
  EXPECT_DOUBLE_EQ(exact["predicted_spread"], exact["target_spread"]);
  // The median box is the first target and hits two of three; the mean box hits none.
  EXPECT_EQ(exact["constant_box"]["kind"], "median");
  EXPECT_DOUBLE_EQ(exact["constant_box"]["acc@0.5"], 2.0 / 3);

  const Json constant = grounding_figures({3, targets[0]}, targets);
  EXPECT_DOUBLE_EQ(constant["acc@0.5"], constant["constant_box"]["acc@0.5"]);
  EXPECT_DOUBLE_EQ(constant["predicted_spread"], 0);
  EXPECT_NEAR(constant["target_spread"].get<double>(), 0.5 * std::sqrt(2.0 / 9), 1e-7);
}

TEST(GroundingFigures, InvertedBoxesHaveNoOverlap) {
  const Json figures =
      grounding_figures({{0.5f, 0.5f, 0, 0}, {0, 0, 1, 1}}, {{0, 0, 0.5f, 0.5f}, {0, 0, 1, 1}});
  EXPECT_DOUBLE_EQ(figures["inverted_share"], 0.5);
  EXPECT_DOUBLE_EQ(figures["acc@0.5"], 0.5);
}

TEST(GroundingFigures, BoxesThatAreNoNumbersAreAnError) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Box good{0, 0, 1, 1};
  for (const Box& bad : {Box{nan, 0, 1, 1}, Box{0, 0, 1, nan}, Box{0, -1 / 0.0f, 1, 1}}) {
    EXPECT_THAT(fixtures::error_of(
                    [&] {
                      grounding_figures({good, bad}, {good, good});
                    },
                    1),
                ::testing::HasSubstr("1 of 2"));
    EXPECT_THAT(fixtures::error_of([&] {
                  grounding_figures({good, good}, {good, bad});
                }),
                ::testing::HasSubstr("check the data"));
  }
}

TEST(WithinImageFigures, EmbeddingsThatAreNoNumbersAreAnError) {
  auto regions = torch::eye(2);
  regions[1][0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(fixtures::error_of(
                  [&] {
                    within_image_figures(regions, torch::eye(2), ids({0, 1}), ids({0, 0}));
                  },
                  1),
              ::testing::HasSubstr("not finite"));
}

TEST(PixelsOf, ABoxOfTheStoredPictureInASmallerDraft) {
  Image whole(40, 20);
  const PixelRect all = pixels_of({0, 0, 0.5f, 1}, whole);
  EXPECT_EQ(all.x + all.width, 20);
  // 37 x 19 stored, decoded at a quarter: the last column and row reach past its end.
  Image draft(10, 5);
  draft.shrink = 4;
  draft.stored_width = 37;
  draft.stored_height = 19;
  const PixelRect right = pixels_of({24.5f / 37, 0, 1, 11.5f / 19}, draft);
  EXPECT_EQ(right.x, 6);  // pixel 24 of the stored picture
  EXPECT_EQ(right.width, 4);
  EXPECT_EQ(right.y, 0);
  EXPECT_EQ(right.height, 3);  // row 11
}

TEST(GroundingFigures, NothingToGround) {
  const Json figures = grounding_figures({}, {});
  EXPECT_EQ(figures["n"], 0);
  EXPECT_DOUBLE_EQ(figures["acc@0.5"], 0);
}

}  // namespace
}  // namespace opencloc
