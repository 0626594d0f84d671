// Instance retrieval as GPR1200 defines it (Schall et al., MMM 2022, arXiv 2111.13122): every
// picture is a query against all of them, and the other pictures of its class are right.
#pragma once

#include <cstdint>

#include <torch/types.h>

#include "opencloc/base/json.h"
#include "opencloc/dist/group.h"

namespace opencloc {

struct InstanceRanking {
  torch::Tensor embeddings;  // [n, E], of unit length
  torch::Tensor classes;     // [n] int64, in [0, C)
};

// Average precision of every query, over the whole ranking by dot product:
//   [:, 0] with the query itself in the list, as a hit: GPR1200's rule. It stands first, since
//          nothing is nearer to a picture than itself.
//   [:, 1] without it; -1 where the class has no other picture.
// Equal scores go by number, so that a model that answers everything alike scores as chance does.
// Memory grows with n. The same to the last bit for any number of threads and processes.
// Throws Error (failed) for embeddings that are not finite. A call of all processes of `group`
// with the same ranking. -> [n, 2] double, on the CPU.
torch::Tensor average_precisions(const InstanceRanking& ranking, int64_t chunk = 1024,
                                 dist::Group& group = dist::alone());

// What a random order scores on average where `relevant` of `others` candidates are right. With the
// query itself in front of them as a hit; without it (relevant > 0).
double chance_with_self(int64_t relevant, int64_t others);
double chance_without_self(int64_t relevant, int64_t others);

// Means over the queries of `rows` [m] int64: "map_with_self" and "chance_with_self" over all n of
// them, "map_without_self" and "chance_without_self" over the "n_without_self" whose class has
// another picture (neither key where there is none).
Json instance_figures(const InstanceRanking& ranking, const torch::Tensor& precisions,
                      const torch::Tensor& rows);

}  // namespace opencloc
