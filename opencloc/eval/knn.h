// The nearest neighbours' vote, as axlearn's kNN evaluation takes it: no training, so it shows what
// lies near what.
#pragma once

#include <array>
#include <cstdint>

#include <torch/types.h>

#include "opencloc/base/json.h"
#include "opencloc/dist/group.h"

namespace opencloc {

inline constexpr std::array<int64_t, 3> kNeighbourCounts{1, 20, 200};
inline constexpr std::array<double, 3> kVoteTemperatures{0.01, 0.03, 0.07};

struct NeighbourVote {
  torch::Tensor queries;           // [Q, E], of unit length
  torch::Tensor known;             // [N, E], of unit length
  torch::Tensor known_classes;     // [N] int64, in [0, C)
  bool queries_are_known = false;  // row i of both is one picture, which does not vote on itself
};

// Every query's class by the votes of its k nearest: each votes for its own class with
// exp(cosine / T). Where there are fewer than k, all of them. Equal cosines go by row, equal votes
// by class. -> [Q, 9] int64, on the CPU: a column for each k and T, k by k; -1 where nobody votes.
//
// Memory grows with Q + N. The same to the last bit for any number of threads and processes. Throws
// Error (failed) for embeddings that are not finite. A call of all processes of `group`.
torch::Tensor neighbour_votes(const NeighbourVote& vote, int64_t chunk = 1024,
                              dist::Group& group = dist::alone());

// {"acc1_k1_t0.01": , ..., "acc1_k200_t0.07": , "n": }: shares of votes that are the query's class,
// targets [Q] int64.
Json vote_figures(const torch::Tensor& votes, const torch::Tensor& targets);

}  // namespace opencloc
