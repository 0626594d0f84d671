#include "opencloc/eval/ranking.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "tests/dist/thread_group.h"

namespace opencloc {
namespace {

std::vector<int64_t> values(const torch::Tensor& tensor) {
  const auto flat = tensor.contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}

// The definition, one pair at a time: weights spelt out as repeated candidates.
std::vector<int64_t> brute_force(const Ranking& ranking) {
  const auto scores = torch::matmul(ranking.queries, ranking.candidates.t());
  std::vector<int64_t> ranks;
  for (int64_t i = 0; i < scores.size(0); ++i) {
    const auto right = [&](int64_t j) {
      return ranking.query_group[i].item<int64_t>() == ranking.candidate_group[j].item<int64_t>();
    };
    const auto score = [&](int64_t j) { return scores[i][j].item<float>(); };
    const auto weight = [&](int64_t j) {
      return ranking.candidate_weight.defined() ? ranking.candidate_weight[j].item<int64_t>() : 1;
    };
    int64_t best = -1;
    for (int64_t j = 0; j < scores.size(1); ++j) {
      if (right(j) && (best < 0 || score(j) > score(best))) best = j;
    }
    int64_t rank = 0;
    for (int64_t j = 0; j < scores.size(1); ++j) {
      if (right(j)) continue;
      const bool before =
          best < 0 || score(j) > score(best) || (score(j) == score(best) && j < best);
      rank += before ? weight(j) : 0;
    }
    ranks.push_back(rank);
  }
  return ranks;
}

// Small whole numbers: every product is exact, so ties are ties, and there are many.
torch::Tensor whole_numbers(int64_t rows, int64_t width) {
  return torch::randint(-1, 2, {rows, width}, torch::kFloat);
}

TEST(BestRanks, AgreesWithTheDefinitionWhateverTheChunk) {
  torch::manual_seed(1);
  for (const bool ties : {false, true}) {
    for (const auto& [queries, candidates] :
         {std::pair{1, 1}, {1, 7}, {13, 1}, {37, 29}, {8, 64}}) {
      const auto make = [&](int64_t rows) {
        return ties ? whole_numbers(rows, 4) : torch::randn({rows, 4});
      };
      Ranking ranking{make(queries),
                      make(candidates),
                      torch::randint(0, 9, {queries}, torch::kInt64),
                      torch::randint(0, 9, {candidates}, torch::kInt64),
                      {}};
      for (const bool weighted : {false, true}) {
        if (weighted) ranking.candidate_weight = torch::randint(1, 5, {candidates}, torch::kInt64);
        const auto expected = brute_force(ranking);
        for (const int64_t chunk : {1, 3, 5, 1024}) {
          EXPECT_EQ(values(best_ranks(ranking, chunk)), expected)
              << queries << " x " << candidates << ", chunk " << chunk << ", ties " << ties;
        }
      }
    }
  }
}

TEST(BestRanks, ProcessesShareTheStrips) {
  torch::manual_seed(3);
  for (const int64_t queries : {0, 1, 2, 25}) {
    const Ranking ranking{torch::randn({queries, 4}),
                          torch::randn({9, 4}),
                          torch::randint(0, 9, {queries}, torch::kInt64),
                          torch::arange(9),
                          {}};
    const auto expected = values(best_ranks(ranking, 4));
    for (const int ranks : {2, 3, 5}) {
      fixtures::run_ranks(ranks, [&](dist::Group& group) {
        EXPECT_EQ(values(best_ranks(ranking, 4, group)), expected) << queries << ", " << ranks;
      });
    }
  }
}

TEST(BestRanks, ModelThatAnswersEverythingAlikeScoresAsChance) {
  const auto same = torch::ones({10, 3});
  const Ranking ranking{same, same, torch::arange(10), torch::arange(10), {}};
  EXPECT_THAT(values(best_ranks(ranking)), testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

// The whole matrix of 12,000 x 12,000 scores would take 576 MB.
TEST(BestRanks, MemoryDoesNotGrowWithTheSquare) {
  const auto peak_bytes = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return int64_t{usage.ru_maxrss} * 1024;
  };
  constexpr int64_t kPairs = 12'000;
  torch::manual_seed(2);
  const auto a = torch::randn({kPairs, 4});
  const auto id = torch::arange(kPairs);
  const int64_t before = peak_bytes();
  EXPECT_EQ(best_ranks({a, a / a.norm(2, 1, true), id, id, {}}).sum().item<int64_t>(), 0);
  EXPECT_LT(peak_bytes() - before, kPairs * kPairs * int64_t{sizeof(float)} / 2);
}

TEST(BestRanks, QueryWithoutRightCandidateRanksLast) {
  const Ranking ranking{torch::randn({2, 3}),
                        torch::randn({4, 3}),
                        torch::tensor({7, 0}),
                        torch::tensor({0, 1, 2, 3}),
                        {}};
  EXPECT_EQ(values(best_ranks(ranking))[0], 4);
}

TEST(BestRanks, NoQueriesGiveNoRanks) {
  const Ranking ranking{torch::zeros({0, 3}),
                        torch::randn({4, 3}),
                        torch::zeros({0}, torch::kInt64),
                        torch::arange(4),
                        {}};
  EXPECT_EQ(best_ranks(ranking).numel(), 0);
}

TEST(BestRanks, NotANumberIsAnErrorNotAPerfectScore) {
  auto queries = torch::randn({3, 2});
  queries[1][0] = std::numeric_limits<float>::quiet_NaN();
  const Ranking ranking{queries, torch::randn({3, 2}), torch::arange(3), torch::arange(3), {}};
  EXPECT_THROW(best_ranks(ranking), Error);
}

}  // namespace
}  // namespace opencloc
