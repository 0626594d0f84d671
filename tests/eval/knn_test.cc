#include "opencloc/eval/knn.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/kernels/parallel.h"
#include "tests/dist/thread_group.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

// The definition for one query, with every weight in the open.
int64_t plain_vote(const NeighbourVote& vote, int64_t query, int64_t k, double temperature) {
  const auto scores = torch::mv(vote.known, vote.queries[query]);
  std::vector<int64_t> order(static_cast<size_t>(scores.numel()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return scores[a].item<float>() > scores[b].item<float>();
  });
  if (vote.queries_are_known) std::erase(order, query);
  std::map<int64_t, double> votes;
  for (size_t i = 0; i < order.size() && i < static_cast<size_t>(k); ++i) {
    votes[vote.known_classes[order[i]].item<int64_t>()] +=
        std::exp(static_cast<double>(scores[order[i]].item<float>()) / temperature);
  }
  int64_t winner = -1;
  for (const auto& [name, sum] : votes) {
    if (winner < 0 || sum > votes[winner]) winner = name;
  }
  return winner;
}

torch::Tensor unit_rows(int64_t count) {
  const auto rows = torch::randn({count, 3});
  return rows / rows.norm(2, 1, true);
}

void expect_plain_votes(const NeighbourVote& vote, int64_t chunk) {
  const auto found = neighbour_votes(vote, chunk);
  ASSERT_EQ(found.sizes(), (std::vector<int64_t>{vote.queries.size(0), 9}));
  for (int64_t i = 0; i < found.size(0); ++i) {
    int64_t column = 0;
    for (const int64_t k : {1, 20, 200}) {
      for (const double temperature : {0.01, 0.03, 0.07}) {
        EXPECT_EQ(found[i][column++].item<int64_t>(), plain_vote(vote, i, k, temperature))
            << i << ", k " << k << ", T " << temperature;
      }
    }
  }
}

TEST(NeighbourVotes, AgreeWithTheDefinitionWhateverTheChunk) {
  torch::manual_seed(8);
  for (const int64_t known : {1, 5, 30, 300}) {
    const NeighbourVote vote{unit_rows(13), unit_rows(known),
                             torch::randint(0, 6, {known}, torch::kInt64)};
    for (const int64_t chunk : {1, 4, 1024}) expect_plain_votes(vote, chunk);
  }
}

TEST(NeighbourVotes, APictureDoesNotVoteOnItself) {
  torch::manual_seed(9);
  const auto rows = unit_rows(50);
  const NeighbourVote vote{rows, rows, torch::randint(0, 4, {50}, torch::kInt64), true};
  expect_plain_votes(vote, 8);
  // With classes of its own each picture would otherwise be right.
  const auto votes = neighbour_votes({rows, rows, torch::arange(50), true});
  EXPECT_FALSE(votes.select(1, 0).eq(torch::arange(50)).any().item<bool>());
  EXPECT_TRUE(torch::equal(neighbour_votes({rows, rows, torch::arange(50)}).select(1, 0),
                           torch::arange(50)));
}

TEST(NeighbourVotes, EqualScoresGoByRowAndEqualVotesByClass) {
  const auto same = torch::ones({6, 2});
  const auto votes =
      neighbour_votes({same.slice(0, 0, 1), same, torch::tensor({3, 2, 1, 3, 2, 1})});
  EXPECT_EQ(votes[0][0].item<int64_t>(), 3);  // the first row
  EXPECT_EQ(votes[0][3].item<int64_t>(), 1);  // two votes each
}

TEST(NeighbourVotes, NobodyVotesWhereThereIsNobody) {
  const auto row = torch::ones({1, 2});
  const auto votes = neighbour_votes({row, row, torch::zeros({1}, torch::kInt64), true});
  EXPECT_TRUE(votes.eq(-1).all().item<bool>());
}

TEST(NeighbourVotes, ThreadsAndProcessesChangeNothing) {
  torch::manual_seed(10);
  const NeighbourVote vote{unit_rows(70), unit_rows(400),
                           torch::randint(0, 9, {400}, torch::kInt64)};
  const auto expected = neighbour_votes(vote, 6);
  for (const int threads : {1, 3}) {
    const kernels::ThreadLimit limit(threads);
    EXPECT_TRUE(torch::equal(neighbour_votes(vote, 6), expected)) << threads;
  }
  fixtures::run_ranks(3, [&](dist::Group& group) {
    EXPECT_TRUE(torch::equal(neighbour_votes(vote, 6, group), expected));
  });
}

TEST(NeighbourVotes, FiguresAreSharesByKAndTemperature) {
  auto votes = torch::zeros({4, 9}, torch::kInt64);
  votes[0][0] = 1;  // k 1, T 0.01
  votes[1][8] = 1;  // k 200, T 0.07
  votes[2][8] = 1;
  const Json figures = vote_figures(votes, torch::tensor({1, 1, 1, 0}));
  EXPECT_EQ(figures["acc1_k1_t0.01"], 0.5);
  EXPECT_EQ(figures["acc1_k20_t0.03"], 0.25);
  EXPECT_EQ(figures["acc1_k200_t0.07"], 0.75);
  EXPECT_EQ(figures["n"], 4);
  EXPECT_EQ(figures.size(), 10u);
}

TEST(NeighbourVotes, NotANumberIsAnError) {
  auto rows = torch::ones({3, 2});
  rows[2][1] = std::numeric_limits<float>::infinity();
  const auto classes = torch::zeros({3}, torch::kInt64);
  const auto good = torch::ones({3, 2});
  EXPECT_NE(fixtures::error_of(
                [&] {
                  neighbour_votes({rows, good, classes});
                },
                1)
                .find("finite"),
            std::string::npos);
  EXPECT_NE(fixtures::error_of(
                [&] {
                  neighbour_votes({good, rows, classes});
                },
                1)
                .find("finite"),
            std::string::npos);
}

}  // namespace
}  // namespace opencloc
