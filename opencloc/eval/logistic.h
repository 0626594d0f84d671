// Multinomial logistic regression with an L2 penalty: a linear classifier over given features.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

#include "opencloc/eval/lbfgs.h"

namespace opencloc {

struct LabelledRows {
  torch::Tensor features;  // [n, D] float
  torch::Tensor targets;   // [n] int64, in [0, classes)
  int64_t classes = 0;     // C
};

// Weights [C, D] and, in the last column, a bias: logits = W x + b.
struct LogisticModel {
  std::vector<double> weights;  // [C, D + 1]
  LbfgsReport report;
};

// Minimises  mean of -log softmax(W x + b)[target]  +  lambda / 2 |W|^2  (the bias is free), from
// `start` (empty: zeros) on. Products are F32, sums double; rows are added in an order of their
// own, so that the result is the same to the last bit for any number of threads.
LogisticModel fit_logistic(const LabelledRows& rows, double lambda,
                           const std::vector<double>& start = {}, const LbfgsOptions& options = {});

// The function above and its gradient [C, D + 1] (for fit_logistic and its tests).
double logistic_loss(const LabelledRows& rows, double lambda, const std::vector<double>& weights,
                     std::vector<double>& gradient);

}  // namespace opencloc
