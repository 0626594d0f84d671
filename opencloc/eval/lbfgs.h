// L-BFGS (Nocedal and Wright, "Numerical Optimization", 2nd ed., algorithm 7.5) with a line search
// for the strong Wolfe conditions (algorithms 3.5 and 3.6, cubic interpolation).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace opencloc {

// The value at x, and its gradient into `gradient` (of x's size).
using SmoothFunction =
    std::function<double(const std::vector<double>& x, std::vector<double>& gradient)>;

struct LbfgsOptions {
  int64_t history = 10;
  int64_t max_iterations = 500;
  double gradient_tolerance = 1e-5;  // of the largest component's size
  // Relative error of the function's values: a step is not refused for less.
  double value_noise = 0;
};

struct LbfgsReport {
  double value = 0;
  double largest_gradient = 0;  // size of the largest component
  int64_t iterations = 0;
  int64_t evaluations = 0;
  bool converged = false;  // else at max_iterations, or where no step is a descent any more
};

// Moves x to a minimum of a function that is bounded below. Only what `function` gives decides:
// deterministic where it is.
LbfgsReport minimize(const SmoothFunction& function, std::vector<double>& x,
                     const LbfgsOptions& options = {});

}  // namespace opencloc
