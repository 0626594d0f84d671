// A linear probe: how well a linear classifier, trained on frozen embeddings, tells classes apart.
#pragma once

#include <cstdint>

#include "opencloc/base/json.h"
#include "opencloc/eval/logistic.h"

namespace opencloc {

struct ProbeOptions {
  uint64_t seed = 0;  // of the split
  double held_back =
      0.2;  // share of each class's rows, where it has two or more, that chooses lambda
};

// Features are scaled to mean 0 and variance 1 over the rows learned from, a column at a time, so
// that a lambda means the same for every model. lambda is one of 1e-6, 1e-5, ..., 10 or a half
// decade beside the best of those: the one whose classifier, learned on the rest, is right most
// often on the held-back rows (of equals the largest). Then all rows are learned from.
//
// -> acc1, acc5, mean_per_class_recall, n (of `test`), "acc1_error": the binomial standard error,
// "lambda", "held_back_acc1", "held_back" and "n_train" (rows), "converged", "iterations" (of the
// last fit). Logs a warning where it did not converge, or where lambda is at the end of the range.
//
// `learn` and `test` have the same classes; no class has two rows to learn from: Error (input).
// Throws Error (failed) for features that are not finite. Deterministic, for any number of threads.
Json linear_probe_figures(const LabelledRows& learn, const LabelledRows& test,
                          const ProbeOptions& options = {});

}  // namespace opencloc
