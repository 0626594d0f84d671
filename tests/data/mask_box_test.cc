#include "opencloc/data/import/mask_box.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "opencloc/base/rng.h"

namespace opencloc {
namespace {

MaskBox of_json(const char* text) { return box_of_mask(parse_json(text, "test")); }

// pycocotools' rleToString, written out.
std::string compressed(const std::vector<int64_t>& runs) {
  std::string text;
  for (size_t i = 0; i < runs.size(); ++i) {
    int64_t x = runs[i];
    if (i > 2) x -= runs[i - 2];
    for (bool more = true; more;) {
      auto group = static_cast<char>(x & 31);
      x >>= 5;
      more = (group & 16) != 0 ? x != -1 : x != 0;
      if (more) group = static_cast<char>(group | 32);
      text += static_cast<char>(group + '0');
    }
  }
  return text;
}

TEST(MaskBox, PycocotoolsOwnStrings) {
  // mask.encode() and mask.toBbox() of pycocotools 2.0.10.
  const auto box = [](const char* text) { return of_json(text).box; };
  EXPECT_EQ(box(R"({"size": [10, 10], "counts": "P13700000l0"})"), (Box{3, 2, 7, 5}));
  EXPECT_EQ(box(R"({"size": [2000, 3000], "counts": "__e02_l]f5"})"), (Box{10, 0, 12, 2000}));
  EXPECT_EQ(box(R"({"size": [7, 5], "counts": "81210O40K20O10O"})"), (Box{1, 0, 5, 6}));
}

TEST(MaskBox, IsTheExtentOfTheMarkedPixels) {
  Rng rng(7, {1});
  for (int trial = 0; trial < 200; ++trial) {
    const auto height = 1 + static_cast<int64_t>(rng.below(60));
    const auto width = 1 + static_cast<int64_t>(rng.below(60));
    const double density = trial % 3 == 0 ? 0.01 : 0.5;
    Box expected{1e9f, 1e9f, -1, -1};
    std::vector<int64_t> runs = {0};
    bool inside = false;
    for (int64_t cell = 0; cell < height * width; ++cell) {  // down the columns
      const bool marked = rng.uniform() < density;
      if (marked != inside) runs.push_back(0);
      inside = marked;
      ++runs.back();
      if (!marked) continue;
      const int64_t column = cell / height, row = cell % height;
      const auto x = static_cast<float>(column), y = static_cast<float>(row);
      expected = {std::min(expected.x0, x), std::min(expected.y0, y), std::max(expected.x1, x + 1),
                  std::max(expected.y1, y + 1)};
    }
    Json mask = {{"size", {height, width}}, {"counts", runs}};
    const MaskBox listed = box_of_mask(mask);
    mask["counts"] = compressed(runs);
    const MaskBox packed = box_of_mask(mask);
    if (expected.x1 < 0) {
      EXPECT_EQ(listed.problem, "the mask is empty");
      EXPECT_EQ(packed.problem, "the mask is empty");
      continue;
    }
    EXPECT_EQ(listed.problem + packed.problem, "");
    EXPECT_EQ(listed.box, expected);
    EXPECT_EQ(packed.box, expected) << mask.dump();
    EXPECT_EQ(packed.width, width);
    EXPECT_EQ(packed.height, height);
  }
}

TEST(MaskBox, Polygons) {
  const MaskBox around = of_json("[[8, 9, 24, 9.5, 10, 12], [4, 30, 5, 6, 7, 8]]");
  EXPECT_EQ(around.box, (Box{4, 6, 24, 30}));
  EXPECT_EQ(around.width, 0);
}

TEST(MaskBox, BrokenMasksSayWhatIsWrong) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"5", "neither polygons nor"},
      {"[]", "empty"},
      {"[[1, 2, 3, 4]]", "a polygon is not"},
      {"[[1, 2, 3, 4, 5]]", "a polygon is not"},
      {R"([[1, 2, 3, 4, 5, "6"]])", "else than numbers"},
      {"[[1, 2, 3, 4, 5, NaN]]", "not finite"},
      {R"({"counts": [4]})", "'size' is not"},
      {R"({"size": [2, 0], "counts": [4]})", "'size' is not"},
      {R"({"size": [2, 1e300], "counts": [4]})", "'size' is not"},
      {R"({"size": [2, 2.5], "counts": [4]})", "'size' is not"},
      {R"({"size": [2, 2]})", "no run lengths"},
      {R"({"size": [2, 2], "counts": [1, "2", 1]})", "no run lengths"},
      {R"({"size": [2, 2], "counts": [1, 0.5]})", "no run lengths"},
      {R"({"size": [2, 2], "counts": "1 2"})", "no run lengths"},
      {R"({"size": [2, 2], "counts": "oooooooooooooooooooo"})", "no run lengths"},
      {R"({"size": [2, 2], "counts": [1, 2]})", "less than its size"},
      {R"({"size": [2, 2], "counts": ""})", "less than its size"},
      {R"({"size": [2, 2], "counts": [1, 9000000000000000]})", "more than its size"},
      {R"({"size": [2, 2], "counts": [5, -1]})", "more than its size"},
      {R"({"size": [2, 2], "counts": [4]})", "empty"}};
  for (const auto& [text, problem] : cases)
    EXPECT_NE(of_json(text).problem.find(problem), std::string::npos)
        << text << ": " << of_json(text).problem;
}

}  // namespace
}  // namespace opencloc
