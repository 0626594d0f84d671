#include "opencloc/eval/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <optional>
#include <utility>

namespace opencloc {
namespace {

using Vector = std::vector<double>;

constexpr double kDecrease = 1e-4;  // of the slope at 0: Armijo's condition
constexpr double kCurvature = 0.9;  // the slope may keep this share of its size
constexpr int kMostTrials = 30;     // evaluations of one line search
constexpr double kLargestStep = 1e10;

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
double largest(const Vector& a) {
  double most = 0;
  for (const double value : a) most = std::max(most, std::abs(value));
  return most;
}

// A point of the line.
struct Trial {
  double step = 0;
  double value = 0;
  double slope = 0;
};

// Where the cubic through two points with these slopes is lowest, kept away from both ends.
double between(const Trial& a, const Trial& b) {
  const double low = std::min(a.step, b.step), high = std::max(a.step, b.step);
  const double middle = 0.5 * (low + high), margin = 0.1 * (high - low);
  const double d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step);
  const double square = d1 * d1 - a.slope * b.slope;
  if (!(square >= 0)) return middle;
  const double d2 = std::copysign(std::sqrt(square), b.step - a.step);
  const double below = b.slope - a.slope + 2 * d2;
  const double step = b.step - (b.step - a.step) * (b.slope + d2 - d1) / below;
  return std::isfinite(step) ? std::clamp(step, low + margin, high - margin) : middle;
}

class LineSearch {
 public:
  LineSearch(const SmoothFunction& function, const Vector& from, const Vector& direction,
             Trial start, double noise)
      : function_(function), from_(from), direction_(direction), start_(start), noise_(noise) {}

  // The accepted point, whose position and gradient are x() and gradient() then; nothing when no
  // step descends.
  std::optional<Trial> find(double first_step) {
    Trial before = start_;
    for (double step = first_step; trials_ < kMostTrials && step < kLargestStep; step *= 2) {
      const Trial at = try_step(step);
      if (!decreases(at) || (trials_ > 1 && at.value >= before.value + noise_))
        return zoom(before, at);
      if (is_flat(at)) return at;
      if (at.slope >= 0) return zoom(at, before);
      before = at;
    }
    return std::nullopt;
  }
  Vector& x() { return x_; }
  Vector& gradient() { return gradient_; }
  int64_t trials() const { return trials_; }

 private:
  bool decreases(const Trial& at) const {
    return at.value <= start_.value + kDecrease * at.step * start_.slope + noise_;
  }
  bool is_flat(const Trial& at) const { return std::abs(at.slope) <= -kCurvature * start_.slope; }
  Trial try_step(double step) {
    x_ = from_;
    for (size_t i = 0; i < x_.size(); ++i) x_[i] += step * direction_[i];
    gradient_.assign(x_.size(), 0);
    ++trials_;
    const double value = function_(x_, gradient_);
    return {step, value, dot(gradient_, direction_)};
  }
  // `low` is the better end, and the slope there leads towards `high`.
  std::optional<Trial> zoom(Trial low, Trial high) {
    while (trials_ < kMostTrials) {
      const Trial at = try_step(between(low, high));
      if (!decreases(at) || at.value >= low.value + noise_) {
        high = at;
      } else {
        if (is_flat(at)) return at;
        if (at.slope * (high.step - low.step) >= 0) high = low;
        low = at;
      }
      if (std::abs(high.step - low.step) <= 1e-12 * std::max(high.step, low.step)) break;
    }
    if (low.step == 0) return std::nullopt;
    return try_step(low.step);  // a descent, if not a flat one
  }

  const SmoothFunction& function_;
  const Vector& from_;
  const Vector& direction_;
  const Trial start_;
  const double noise_;
  Vector x_, gradient_;
  int64_t trials_ = 0;
};

// The last steps and what they did to the gradient.
class History {
 public:
  explicit History(int64_t most) : most_(static_cast<size_t>(most)) {}
  void add(Vector step, Vector change) {
    const double product = dot(step, change);
    if (!(product > 1e-14 * dot(change, change))) return;  // no curvature to learn from
    pairs_.push_back({std::move(step), std::move(change), product});
    if (pairs_.size() > most_) pairs_.pop_front();
  }
  void clear() { pairs_.clear(); }
  bool empty() const { return pairs_.empty(); }
  // Minus the inverse Hessian's estimate times the gradient.
  Vector direction(const Vector& gradient) const {
    Vector q = gradient;
    Vector alpha(pairs_.size());
    for (size_t i = pairs_.size(); i-- > 0;) {
      alpha[i] = dot(pairs_[i].step, q) / pairs_[i].product;
      add_times(q, -alpha[i], pairs_[i].change);
    }
    const double scale =
        pairs_.empty() ? 1
                       : pairs_.back().product / dot(pairs_.back().change, pairs_.back().change);
    for (double& value : q) value *= scale;
    for (size_t i = 0; i < pairs_.size(); ++i) {
      const double beta = dot(pairs_[i].change, q) / pairs_[i].product;
      add_times(q, alpha[i] - beta, pairs_[i].step);
    }
    for (double& value : q) value = -value;
    return q;
  }

 private:
  struct Pair {
    Vector step, change;
    double product;
  };
  static void add_times(Vector& to, double factor, const Vector& what) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += factor * what[i];
  }
  std::deque<Pair> pairs_;
  const size_t most_;
};

Vector difference(const Vector& a, const Vector& b) {
  Vector result(a.size());
  for (size_t i = 0; i < a.size(); ++i) result[i] = a[i] - b[i];
  return result;
}

}  // namespace

LbfgsReport minimize(const SmoothFunction& function, std::vector<double>& x,
                     const LbfgsOptions& options) {
  Vector gradient(x.size());
  LbfgsReport report;
  report.value = function(x, gradient);
  report.evaluations = 1;
  History history(options.history);
  while (true) {
    report.largest_gradient = largest(gradient);
    report.converged = report.largest_gradient <= options.gradient_tolerance;
    if (report.converged || report.iterations == options.max_iterations) return report;
    Vector direction = history.direction(gradient);
    if (dot(direction, gradient) >= 0) {  // rounding has spoiled the estimate
      history.clear();
      direction = history.direction(gradient);
    }
    const double first =
        history.empty() ? std::min(1.0, 1 / std::sqrt(dot(gradient, gradient))) : 1.0;
    LineSearch search(function, x, direction, {0, report.value, dot(direction, gradient)},
                      options.value_noise * std::abs(report.value));
    const auto found = search.find(first);
    report.evaluations += search.trials();
    if (!found) {
      if (history.empty()) return report;
      history.clear();  // once more along the gradient itself
      continue;
    }
    history.add(difference(search.x(), x), difference(search.gradient(), gradient));
    x.swap(search.x());
    gradient.swap(search.gradient());
    report.value = found->value;
    ++report.iterations;
  }
}

}  // namespace opencloc
