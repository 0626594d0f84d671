#include "opencloc/objective/figures.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "tests/dist/thread_group.h"

namespace opencloc {
namespace {

torch::Tensor number(float value) { return torch::tensor(value); }

TEST(Figures, SumsCountsAndMeansOfPieces) {
  Figures whole;
  for (const auto& [loss, words, regions] :
       {std::tuple(1.0f, 3.0, 2), std::tuple(5.0f, 1.0, 0), std::tuple(9.0f, 0.0, 1)}) {
    Figures piece;
    piece.sum("loss_clip", number(loss));
    piece.mean("loss_caption", number(loss), words);
    piece.count("regions", regions);
    whole.merge(piece);
  }
  EXPECT_EQ(whole.at("loss_clip"), 15);
  EXPECT_EQ(whole.at("loss_caption"), 2) << "(3 * 1 + 1 * 5) / 4";
  EXPECT_EQ(dump_json(whole.values()), R"({"loss_clip":15.0,"loss_caption":2.0,"regions":3})");
}

TEST(Figures, OfNothingAreNoFigures) {
  Figures figures;
  figures.mean("grounding_iou", torch::Tensor(), 0);
  EXPECT_FALSE(figures.has("grounding_iou"));
  EXPECT_EQ(figures.at("grounding_iou"), 0);
  EXPECT_EQ(dump_json(figures.values()), "{}");
  figures.mean("grounding_iou", number(0.5), 2);
  EXPECT_EQ(figures.at("grounding_iou"), 0.5);
}

TEST(Figures, OfTwoProcesses) {
  std::mutex mutex;
  fixtures::run_ranks(2, [&](dist::Group& group) {
    const bool first = group.is_first();
    Figures figures;
    figures.sum("loss_clip", number(first ? 1 : 2));
    figures.mean("iou", first ? torch::Tensor() : number(0.5), first ? 0 : 3);
    figures.count("regions", first ? 2 : 3);
    figures.merge(group);
    const std::lock_guard lock(mutex);
    EXPECT_EQ(dump_json(figures.values()), R"({"loss_clip":3.0,"iou":0.5,"regions":5})");
  });
}

}  // namespace
}  // namespace opencloc
