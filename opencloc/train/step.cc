#include "opencloc/train/step.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <torch/utils.h>

namespace opencloc {
namespace {

// Adds the loss of a piece and its figures.
void add(const Loss& part, Loss& total) {
  total.figures.merge(part.figures);
  if (!part.value.defined()) return;
  total.value = total.value.defined() ? total.value + part.value : part.value;
}

// The loss over all processes, so that all of them go on or none does.
class SharedValue {
 public:
  SharedValue(const StepOptions& options) : group_(*options.group), late_(options.late) {}

  void add(const torch::Tensor& loss) {
    if (!loss.defined() && group_.size() == 1) return;
    auto value = loss.defined() ? loss.detach().to(torch::kDouble).clone()
                                : torch::zeros({}, torch::kDouble);
    if (!late_) value = value.cpu();
    group_.sum(value);
    sum_ = sum_.defined() ? sum_ + value : value;
  }
  // Is a backward pass to be made?
  bool goes_on() const { return late_ || std::isfinite(read()); }
  void put_into(StepResult& result) const {
    if (late_) {
      result.late_loss = sum_.defined() ? sum_ : torch::zeros({}, torch::kDouble);
    } else {
      result.loss = read();
    }
  }

 private:
  double read() const { return sum_.defined() ? sum_.item<double>() : 0; }

  dist::Group& group_;
  const bool late_;
  torch::Tensor sum_;  // scalar F64
};

Loss whole(BatchWork& work, SharedValue& value) {
  NamedRows rows;
  Loss total;
  for (int64_t piece = 0; piece < work.pieces(); ++piece) {
    Encoded encoded = work.encode(piece, rows, /*own_loss=*/true);
    for (const auto& name : encoded.rows.names()) rows.append(name, encoded.rows[name]);
    add(encoded.own, total);
  }
  add(work.loss(rows), total);
  value.add(total.value);
  if (value.goes_on() && total.value.defined() && total.value.requires_grad())
    total.value.backward();
  return total;
}

// The rows of every piece: where those of each name begin in those of the batch.
struct Cached {
  NamedRows rows;                                                            // leaves
  std::vector<std::vector<std::pair<std::string, int64_t>>> first_of_piece;  // name, row
};

Cached cache_rows(BatchWork& work) {
  const torch::NoGradGuard no_grad;
  Cached cached;
  NamedRows plain;
  std::vector<std::pair<std::string, int64_t>> next;  // by name
  for (int64_t piece = 0; piece < work.pieces(); ++piece) {
    const Encoded encoded = work.encode(piece, plain, /*own_loss=*/false);
    auto& first = cached.first_of_piece.emplace_back();
    for (const auto& name : encoded.rows.names()) {
      const auto rows = encoded.rows[name].detach();
      auto at = std::find_if(next.begin(), next.end(), [&](auto& n) { return n.first == name; });
      if (at == next.end()) at = next.insert(next.end(), {name, 0});
      first.push_back(*at);
      at->second += rows.size(0);
      plain.append(name, rows);
    }
  }
  for (const auto& name : plain.names())
    cached.rows.append(name, plain[name].detach().requires_grad_());
  return cached;
}

// The sum of <rows, their gradient>: backward of it passes that gradient on. Undefined where
// nothing that the piece made learns, or the loss did not look at it.
torch::Tensor injected(const NamedRows& made, const Cached& cached, int64_t piece) {
  torch::Tensor sum;
  for (const auto& [name, first] : cached.first_of_piece[static_cast<size_t>(piece)]) {
    const auto rows = made[name], gradient = cached.rows[name].grad();
    if (!rows.requires_grad() || !gradient.defined()) continue;
    const auto part = (rows * gradient.slice(0, first, first + rows.size(0))).sum();
    sum = sum.defined() ? sum + part : part;
  }
  return sum;
}

Loss in_pieces(BatchWork& work, SharedValue& value) {
  const Cached cached = cache_rows(work);
  Loss total = work.loss(cached.rows);
  value.add(total.value);
  if (!value.goes_on()) return total;
  if (total.value.defined() && total.value.requires_grad()) total.value.backward();
  // The last pieces first: their gradients reach the rows of earlier ones that they read.
  auto own = torch::zeros({}, torch::kDouble);
  for (int64_t piece = work.pieces() - 1; piece >= 0; --piece) {
    if (!work.learns(piece)) continue;
    const Encoded encoded = work.encode(piece, cached.rows, /*own_loss=*/true);
    auto sum = injected(encoded.rows, cached, piece);
    if (encoded.own.value.defined()) {
      own = own.to(encoded.own.value.device()) + encoded.own.value.detach();
      sum = sum.defined() ? sum + encoded.own.value : encoded.own.value;
    }
    total.figures.merge(encoded.own.figures);
    if (sum.defined() && sum.requires_grad()) sum.backward();
  }
  value.add(own);
  return total;
}

// exp(logit_scale) is capped at 100 by the losses.
const double kLogCap = std::log(100.0);

// The scales that have a cap and learn.
std::vector<torch::Tensor> capped_scales(const Cloc& model) {
  std::vector<torch::Tensor> scales;
  const bool sigmoid = model->logit_bias.defined();
  for (const auto& scale : {model->region_logit_scale, model->hard_negative_logit_scale,
                            sigmoid ? torch::Tensor() : model->logit_scale})
    if (scale.defined() && scale.requires_grad()) scales.push_back(scale);
  return scales;
}

}  // namespace

bool StepResult::finite() const { return std::isfinite(loss); }

StepResult forward_backward(Objective& objective, const Batch& batch, const StepOptions& options) {
  const auto work = objective.work(
      batch, {.parts = options.accum_freq, .group = options.group, .step = options.step});
  StepResult result;
  SharedValue value(options);
  if (!work->empty()) {
    Loss loss = options.accum_freq > 1 ? in_pieces(*work, value) : whole(*work, value);
    result.figures = std::move(loss.figures);
  }
  value.put_into(result);
  result.figures.merge(work->counts());
  result.figures.merge(*options.group);
  return result;
}

void hold_capped_logit_scales(const Cloc& model) {
  const torch::NoGradGuard no_grad;
  for (auto& scale : capped_scales(model)) {
    auto gradient = scale.grad();
    if (gradient.defined())
      gradient.copy_(torch::where(scale >= kLogCap, gradient.clamp_min(0), gradient));
  }
}

void clamp_logit_scales(const Cloc& model) {
  const torch::NoGradGuard no_grad;
  for (auto& scale : capped_scales(model)) scale.clamp_max_(kLogCap);
}

}  // namespace opencloc
