// A linear probe: how well a linear classifier, trained on frozen embeddings, tells classes apart.
#pragma once

#include <cstdint>

#include "opencloc/base/json.h"
#include "opencloc/eval/logistic.h"

namespace opencloc {

struct ProbeOptions {
  uint64_t seed = 0;  // of the split
  // Share of each class's rows that chooses lambda; none of a class that has only one.
  double held_back = 0.2;
};

// Features are scaled to mean 0 and variance 1 over the rows learned from, a column at a time, so
// that a lambda means the same for every model. lambda is one of 10, 1, ..., 1e-6, or a half decade
// beside the best of those: the one whose classifier, learned on the rest, is right most often on
// the held-back rows (of equals the one with the smallest loss there). Two decades in a row that
// improve neither figure end the search. Then all rows are learned from.
//
// -> acc1, acc5, mean_per_class_recall, n (of `test`), "acc1_error": the binomial standard error,
// "lambda", "held_back_acc1", "held_back" and "n_train" (rows), "converged", "iterations" (of the
// last fit). Logs a warning where it did not converge, or where lambda is the smallest of them.
//
// `learn` and `test` have the same classes. Error (input) where no class has two rows to learn
// from. Throws Error (failed) for features that are not finite. Deterministic, for any number of
// threads.
Json linear_probe_figures(const LabelledRows& learn, const LabelledRows& test,
                          const ProbeOptions& options = {});

}  // namespace opencloc
