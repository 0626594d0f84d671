// Scores of queries against all candidates, a strip of queries at a time on every thread.
#pragma once

#include <cstdint>
#include <functional>

#include <torch/types.h>

#include "opencloc/dist/group.h"

namespace opencloc {

struct ScoreRows {
  torch::Tensor queries;     // [Q, E] float, finite
  torch::Tensor candidates;  // [C, E] float, finite
  int64_t chunk = 1024;      // queries a strip, fewer where C is large
};

// visit(i, scores [C]) of the dot products of every query that is this process's: strips are dealt
// to the processes of `group` in order of their ranks. -> the queries [begin, end) it was called
// for. It is called by several threads at a time, in no order, once for each query.
//
// A strip is one thread's, and its size hangs on C and `chunk` only: the scores are the same to the
// last bit for any number of threads and processes. Memory: 4 MiB a thread beside the rows.
dist::Share visit_scores(const ScoreRows& rows, dist::Group& group,
                         const std::function<void(int64_t i, const float* scores)>& visit);

// Throws Error (failed) for embeddings that are not finite numbers.
void require_finite(const torch::Tensor& embeddings);

}  // namespace opencloc
