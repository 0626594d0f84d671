#include "opencloc/eval/average_precision.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <torch/utils.h>

#include "opencloc/kernels/parallel.h"
#include "tests/dist/thread_group.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

torch::Tensor unit(const torch::Tensor& rows) { return rows / rows.norm(2, 1, true); }

// GPR1200's definition over a list of hits: the mean, over the hits, of the share of hits up to
// them.
double precision_of_list(const std::vector<bool>& hits) {
  double sum = 0, seen = 0;
  for (size_t place = 0; place < hits.size(); ++place) {
    if (!hits[place]) continue;
    seen += 1;
    sum += seen / static_cast<double>(place + 1);
  }
  return seen > 0 ? sum / seen : -1;
}

// Both figures of a query, from the whole list in order.
std::pair<double, double> plain_precisions(const InstanceRanking& ranking, int64_t query) {
  const auto scores = torch::mv(ranking.embeddings, ranking.embeddings[query]);
  std::vector<int64_t> order(static_cast<size_t>(scores.numel()));
  std::iota(order.begin(), order.end(), 0);
  order.erase(order.begin() + query);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return scores[a].item<float>() > scores[b].item<float>();
  });
  std::vector<bool> hits;
  for (const int64_t row : order) {
    hits.push_back(ranking.classes[row].item<int64_t>() == ranking.classes[query].item<int64_t>());
  }
  const double without = precision_of_list(hits);
  hits.insert(hits.begin(), true);
  return {precision_of_list(hits), without};
}

InstanceRanking random_ranking(int64_t count, int64_t classes, bool ties) {
  const auto rows =
      ties ? torch::randint(-1, 2, {count, 3}, torch::kFloat) : unit(torch::randn({count, 3}));
  return {rows, torch::randint(0, classes, {count}, torch::kInt64)};
}

TEST(AveragePrecision, AgreesWithTheDefinitionWhateverTheChunk) {
  torch::manual_seed(4);
  for (const bool ties : {false, true}) {
    for (const auto& [count, classes] : {std::pair{2, 1}, {9, 3}, {40, 5}, {40, 30}, {25, 1}}) {
      const auto ranking = random_ranking(count, classes, ties);
      for (const int64_t chunk : {1, 7, 1024}) {
        const auto found = average_precisions(ranking, chunk);
        for (int64_t i = 0; i < count; ++i) {
          const auto [with_self, without_self] = plain_precisions(ranking, i);
          EXPECT_NEAR(found[i][0].item<double>(), with_self, 1e-12) << count << ", " << i;
          EXPECT_NEAR(found[i][1].item<double>(), without_self, 1e-12) << count << ", " << i;
        }
      }
    }
  }
}

TEST(AveragePrecision, OneQueryByHand) {
  // Seen from the first picture: wrong, right, wrong, right.
  const auto angles = torch::tensor({0.0, 0.1, 0.2, 0.3, 0.4});
  const InstanceRanking ranking{torch::stack({angles.cos(), angles.sin()}, 1),
                                torch::tensor({0, 1, 0, 1, 0})};
  const auto found = average_precisions(ranking);
  EXPECT_NEAR(found[0][0].item<double>(), (1 + 2.0 / 3 + 3.0 / 5) / 3, 1e-12);
  EXPECT_NEAR(found[0][1].item<double>(), (1.0 / 2 + 2.0 / 4) / 2, 1e-12);
}

TEST(AveragePrecision, AClassOfOnePictureHasNoFigureWithoutItself) {
  const InstanceRanking ranking{torch::eye(3), torch::tensor({0, 1, 1})};
  const auto found = average_precisions(ranking);
  EXPECT_EQ(found[0][0].item<double>(), 1);
  EXPECT_EQ(found[0][1].item<double>(), -1);
  const Json figures = instance_figures(ranking, found, torch::arange(3));
  EXPECT_EQ(figures["n"], 3);
  EXPECT_EQ(figures["n_without_self"], 2);
  const Json lone = instance_figures(ranking, found, torch::tensor({0}));
  EXPECT_EQ(lone["map_with_self"], 1.0);
  EXPECT_EQ(lone["chance_with_self"], 1.0);
  EXPECT_FALSE(lone.contains("map_without_self"));
}

// Every order of the others, counted.
TEST(AveragePrecision, ChanceIsTheMeanOverAllOrders) {
  for (const size_t others : {1, 2, 5, 8}) {
    for (size_t relevant = 0; relevant <= others; ++relevant) {
      std::vector<int> hits(others, 0);
      std::fill(hits.end() - static_cast<std::ptrdiff_t>(relevant), hits.end(), 1);
      double with_self = 0, without_self = 0, orders = 0;
      do {  // each order of hits stands for equally many orders of pictures
        std::vector<bool> list(hits.begin(), hits.end());
        without_self += precision_of_list(list);
        list.insert(list.begin(), true);
        with_self += precision_of_list(list);
        orders += 1;
      } while (std::next_permutation(hits.begin(), hits.end()));
      const auto r = static_cast<int64_t>(relevant), n = static_cast<int64_t>(others);
      EXPECT_NEAR(chance_with_self(r, n), with_self / orders, 1e-12) << r << " of " << n;
      if (relevant == 0) continue;
      EXPECT_NEAR(chance_without_self(r, n), without_self / orders, 1e-12) << r << " of " << n;
    }
  }
}

TEST(AveragePrecision, ChanceOfGpr1200) {
  EXPECT_NEAR(chance_with_self(9, 11'999), 0.1019, 5e-5);
  EXPECT_NEAR(chance_without_self(9, 11'999), 0.0015, 5e-5);
}

TEST(AveragePrecision, FiguresAreMeansOverTheRowsAskedFor) {
  torch::manual_seed(5);
  const auto ranking = random_ranking(30, 7, false);
  const auto found = average_precisions(ranking);
  const auto rows = torch::tensor({3, 4, 20});
  double with_self = 0, without_self = 0, paired = 0;
  for (const int64_t row : {3, 4, 20}) {
    with_self += found[row][0].item<double>();
    if (found[row][1].item<double>() < 0) continue;
    without_self += found[row][1].item<double>();
    paired += 1;
  }
  const Json figures = instance_figures(ranking, found, rows);
  EXPECT_NEAR(figures["map_with_self"].get<double>(), with_self / 3, 1e-12);
  EXPECT_NEAR(figures["map_without_self"].get<double>(), without_self / paired, 1e-12);
  EXPECT_EQ(figures["n_without_self"], paired);
}

TEST(AveragePrecision, ThreadsAndProcessesChangeNothing) {
  torch::manual_seed(6);
  const auto ranking = random_ranking(90, 11, false);
  const auto expected = average_precisions(ranking, 8);
  for (const int threads : {1, 2, 5}) {
    const kernels::ThreadLimit limit(threads);
    EXPECT_TRUE(torch::equal(average_precisions(ranking, 8), expected)) << threads;
  }
  for (const int ranks : {2, 3, 13}) {
    fixtures::run_ranks(ranks, [&](dist::Group& group) {
      EXPECT_TRUE(torch::equal(average_precisions(ranking, 8, group), expected)) << ranks;
    });
  }
}

// All scores of GPR1200 at once would take 576 MB.
TEST(AveragePrecision, MemoryDoesNotGrowWithTheSquare) {
  const auto peak_bytes = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return int64_t{usage.ru_maxrss} * 1024;
  };
  constexpr int64_t kPictures = 12'000;
  const auto rows = unit(torch::randn({kPictures, 4}));
  const auto classes = torch::arange(kPictures / 10).repeat_interleave(10);
  const int64_t before = peak_bytes();
  const auto found = average_precisions({rows, classes});
  EXPECT_GT(found.select(1, 1).min().item<double>(), 0);
  EXPECT_LT(peak_bytes() - before, kPictures * kPictures * int64_t{sizeof(float)} / 4);
}

TEST(AveragePrecision, NotANumberIsAnError) {
  auto rows = torch::ones({3, 2});
  rows[1][0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(fixtures::error_of(
                [&] {
                  average_precisions({rows, torch::zeros({3}, torch::kInt64)});
                },
                1)
                .find("not finite"),
            std::string::npos);
}

}  // namespace
}  // namespace opencloc
