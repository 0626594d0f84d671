#include "opencloc/search/indexer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/checkpoint/fingerprint.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/base/temp_folder.h"

namespace opencloc {
namespace {

TEST(GridBoxes, OverlapByHalfAndCoverThePicture) {
  const auto boxes = grid_boxes({1, 2, 3});
  ASSERT_EQ(boxes.size(), 14u);
  EXPECT_EQ(boxes[0], (Box{0, 0, 1, 1}));
  EXPECT_NEAR(boxes[1].x1, 2.0 / 3, 1e-6);
  EXPECT_NEAR(boxes[2].x0, 1.0 / 3, 1e-6);
  EXPECT_EQ(boxes[4].x1, 1);
  EXPECT_NEAR(boxes[9].x0, 0.25, 1e-6);
  EXPECT_NEAR(boxes[9].y1, 0.75, 1e-6);
  EXPECT_EQ(boxes[13].y1, 1);
  EXPECT_TRUE(grid_boxes({}).empty());
}

TEST(BestBoxes, KeepsTheBestThatLieApart) {
  const std::vector<Box> boxes = {{0, 0, 0.5f, 0.5f},         // 0.9
                                  {0, 0, 0.5f, 0.45f},        // 0.8, nearly the first
                                  {0.5f, 0.5f, 1, 1},         // 0.3
                                  {0.5f, 0, 1, 0.5f},         // 0.7
                                  {0.25f, 0.25f, 1, 0.75f}};  // 0.7 too, later
  const std::vector<float> qualities = {0.9f, 0.8f, 0.3f, 0.7f, 0.7f};
  using Places = std::vector<size_t>;
  EXPECT_EQ(best_boxes(boxes, qualities, 1), (Places{0}));
  EXPECT_EQ(best_boxes(boxes, qualities, 3), (Places{0, 3, 4}));
  EXPECT_EQ(best_boxes(boxes, qualities, 4), (Places{0, 2, 3, 4}));
  EXPECT_EQ(best_boxes(boxes, qualities, 5), (Places{0, 1, 2, 3, 4}));
  EXPECT_EQ(best_boxes(boxes, qualities, 9).size(), 5u);
  EXPECT_TRUE(best_boxes({}, {}, 3).empty());
}

TEST(ModelFingerprint, TellsModelsApart) {
  const fixtures::TestFolder folder;
  fixtures::write_tiny_model(folder / "a");
  fixtures::write_tiny_model(folder / "b");
  const LoadedModel a = load_model(folder / "a");
  LoadedModel b = load_model(folder / "b");
  const std::string print = model_fingerprint(a.model, a.tokenizer.get());
  EXPECT_EQ(print.size(), 16u);
  EXPECT_EQ(model_fingerprint(b.model, b.tokenizer.get()), print);
  EXPECT_NE(model_fingerprint(b.model, nullptr), print);
  {
    const torch::NoGradGuard no_grad;
    b.model->clip_weights().back().second.view(-1)[0].add_(1e-6);
  }
  EXPECT_NE(model_fingerprint(b.model, b.tokenizer.get()), print);
}

TEST(FileOf, SamplesLieInTheirShards) {
  EXPECT_EQ(file_of({.name = "/data/a.tar#b#c", .sample = 3}), "/data/a.tar");
  EXPECT_EQ(file_of({.name = "/data#1/a.tar.gz#b", .sample = 0}), "/data#1/a.tar.gz");
  EXPECT_EQ(file_of({.name = "/data/a#1.jpg"}), "/data/a#1.jpg");
}

}  // namespace
}  // namespace opencloc
