#include "opencloc/eval/linear_probe.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/rng.h"
#include "opencloc/eval/metrics.h"
#include "opencloc/eval/ranking.h"
#include "opencloc/eval/score_rows.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc {
namespace {

constexpr int kLeastDecade = -6, kMostDecade = 1;  // of lambda
constexpr int kPatience = 2;                       // decades that are no better end the search
constexpr double kChoiceTolerance = 1e-4;          // of gradients, where lambda is chosen

struct Scaling {
  torch::Tensor mean, factor;  // [D]
  LabelledRows apply(const LabelledRows& rows) const {
    return {(rows.features - mean) * factor, rows.targets, rows.classes};
  }
};

// Columns that do not vary are made 0.
Scaling scaling_of(const torch::Tensor& features) {
  const kernels::OneOpenMpThread one_thread;  // sums in the same order for any number of threads
  const auto wide = features.to(torch::kDouble);
  const auto mean = wide.mean(0);                                // [D]
  const auto deviation = (wide - mean).square().mean(0).sqrt();  // [D]
  const auto varies = deviation > 1e-7 * (1e-30 + wide.abs().max());
  const auto factor = torch::where(varies, 1 / deviation, torch::zeros_like(deviation));
  return {mean.to(torch::kFloat), factor.to(torch::kFloat)};
}

LabelledRows some_rows(const LabelledRows& rows, const std::vector<int64_t>& numbers) {
  const auto index = torch::tensor(numbers, torch::kInt64);
  return {rows.features.index_select(0, index), rows.targets.index_select(0, index), rows.classes};
}

// Rows to fit on and rows that are held back, both in order.
std::pair<std::vector<int64_t>, std::vector<int64_t>> split(const LabelledRows& rows,
                                                            const ProbeOptions& options) {
  std::vector<std::vector<int64_t>> members(static_cast<size_t>(rows.classes));
  const auto targets = rows.targets.contiguous();
  for (int64_t i = 0; i < targets.numel(); ++i) {
    members[static_cast<size_t>(targets.data_ptr<int64_t>()[i])].push_back(i);
  }
  std::vector<int64_t> fitted, held_back;
  for (size_t c = 0; c < members.size(); ++c) {
    Rng(options.seed, {c}).shuffle(members[c]);
    const auto size = static_cast<int64_t>(members[c].size());
    const auto wanted =
        static_cast<int64_t>(std::lround(options.held_back * static_cast<double>(size)));
    const int64_t kept = size < 2 ? 0 : std::clamp<int64_t>(wanted, 1, size - 1);
    held_back.insert(held_back.end(), members[c].begin(), members[c].begin() + kept);
    fitted.insert(fitted.end(), members[c].begin() + kept, members[c].end());
  }
  std::sort(fitted.begin(), fitted.end());
  std::sort(held_back.begin(), held_back.end());
  return {fitted, held_back};
}

// How many wrong classes score above the right one, for each row. -> [n]
torch::Tensor ranks_of(const LogisticModel& model, const LabelledRows& rows) {
  const kernels::ThreadLimit one_thread(1);  // the same bits for any number of threads
  const auto weights = torch::tensor(model.weights, torch::kDouble)
                           .view({rows.classes, rows.features.size(1) + 1})
                           .to(torch::kFloat);  // [C, D + 1]
  const auto features = torch::cat({rows.features, torch::ones({rows.features.size(0), 1})}, 1);
  return best_ranks({features, weights, rows.targets, torch::arange(rows.classes), {}});
}

struct Choice {
  double lambda = 0;
  double accuracy = -1;
  double loss = 0;  // mean, without the penalty
  LogisticModel model;
};

Choice try_lambda(double lambda, const std::vector<double>& start, const LabelledRows& fitted,
                  const LabelledRows& held_back) {
  Choice tried{lambda, 0, 0,
               fit_logistic(fitted, lambda, start, {.gradient_tolerance = kChoiceTolerance})};
  tried.accuracy = recall_at(ranks_of(tried.model, held_back), 1);
  std::vector<double> gradient(tried.model.weights.size());
  tried.loss = logistic_loss(held_back, 0, tried.model.weights, gradient);
  return tried;
}

bool is_better(const Choice& a, const Choice& b) {
  return a.accuracy > b.accuracy || (a.accuracy == b.accuracy && a.loss < b.loss);
}

// Decades from the largest on, each fit from where the one before ended; then half a decade to both
// sides of the best.
Choice choose_lambda(const LabelledRows& fitted, const LabelledRows& held_back) {
  Choice best, last;
  double least_loss = std::numeric_limits<double>::infinity();
  int worse = 0;  // decades in a row that improve neither figure
  for (int decade = kMostDecade; decade >= kLeastDecade && worse < kPatience; --decade) {
    last = try_lambda(std::pow(10.0, decade), last.model.weights, fitted, held_back);
    const bool improves = is_better(last, best) || last.loss < least_loss;
    worse = improves ? 0 : worse + 1;
    least_loss = std::min(least_loss, last.loss);
    if (is_better(last, best)) best = last;
  }
  const Choice center = best;
  for (const double factor : {std::sqrt(10.0), 1 / std::sqrt(10.0)}) {
    last = try_lambda(center.lambda * factor, center.model.weights, fitted, held_back);
    if (is_better(last, best)) best = last;
  }
  return best;
}

void warn_of(const Choice& choice, const LbfgsReport& report) {
  // At the other end there is nothing to learn: a still larger one leaves the shares of the
  // classes.
  if (choice.lambda <= std::pow(10.0, kLeastDecade))
    log::warn("linear probe: the best lambda, {:g}, is the smallest that is tried", choice.lambda);
  if (!report.converged)
    log::warn("linear probe: not at the minimum after {} iterations (largest gradient {:.2g})",
              report.iterations, report.largest_gradient);
}

}  // namespace

Json linear_probe_figures(const LabelledRows& learn, const LabelledRows& test,
                          const ProbeOptions& options) {
  const torch::NoGradGuard no_grad;
  require_finite(learn.features);
  require_finite(test.features);
  const auto [fitted, held_back] = split(learn, options);
  if (held_back.empty()) {
    throw Error::input("a linear probe needs two samples of a class to learn from",
                       "setting 'train_data'", "give it more samples");
  }
  const LabelledRows fit_rows = some_rows(learn, fitted), choose_rows = some_rows(learn, held_back);
  const Scaling of_fit = scaling_of(fit_rows.features);
  const Choice choice = choose_lambda(of_fit.apply(fit_rows), of_fit.apply(choose_rows));

  const Scaling of_all = scaling_of(learn.features);
  const LogisticModel model =
      fit_logistic(of_all.apply(learn), choice.lambda, choice.model.weights);
  warn_of(choice, model.report);
  Json figures =
      classification_figures(ranks_of(model, of_all.apply(test)), test.targets, test.classes);
  const double accuracy = figures["acc1"].get<double>();
  const auto n = static_cast<double>(std::max<int64_t>(test.targets.numel(), 1));
  figures["acc1_error"] = std::sqrt(accuracy * (1 - accuracy) / n);
  figures["lambda"] = choice.lambda;
  figures["held_back_acc1"] = choice.accuracy;
  figures["held_back"] = held_back.size();
  figures["n_train"] = learn.targets.numel();
  figures["converged"] = model.report.converged;
  figures["iterations"] = model.report.iterations;
  return figures;
}

}  // namespace opencloc
