// Where the right answer stands among the candidates: the one computation under recall@k, acc@k.
#pragma once

#include <cstdint>

#include <torch/types.h>

#include "opencloc/dist/group.h"

namespace opencloc {

// Queries and candidates of one ranking. Candidate j is right for query i when their groups are
// equal, so several candidates may be right (captions of one picture, equal texts).
struct Ranking {
  torch::Tensor queries;           // [Q, E] float
  torch::Tensor candidates;        // [C, E] float
  torch::Tensor query_group;       // [Q] int64
  torch::Tensor candidate_group;   // [C] int64
  torch::Tensor candidate_weight;  // [C] int64: how often a candidate counts; undefined: once each
};

// For every query, how many wrong candidates come before its best right one by dot product: the
// right answer is within the top k when the rank is below k. Equal scores go by candidate number,
// so that a model that answers everything alike scores as chance does. A query without a right
// candidate ranks behind all of them.
//
// Rows of the similarity matrix are computed `chunk` at a time, fewer where C is large: memory
// grows with Q + C. Deterministic; the same for every chunk up to the rounding of the products.
// Throws Error (failed) when a score is not finite. -> [Q] int64, on the CPU.
//
// A call of all processes of `group` with the same ranking: they share the strips, each of which is
// what one process makes, and all have the result.
torch::Tensor best_ranks(const Ranking& ranking, int64_t chunk = 1024,
                         dist::Group& group = dist::alone());

}  // namespace opencloc
