#include "opencloc/train/row_optimizer.h"

#include <cmath>
#include <utility>

#include <torch/utils.h>

namespace opencloc {

RowAdamW::RowAdamW(std::shared_ptr<EntityHead> head, const AdamWOptions& options)
    : head_(std::move(head)), options_(options) {}

void RowAdamW::begin() {
  head_->forget();
  gradient_.reset();
}

void RowAdamW::finish(dist::Group& group) {
  if (!head_->used()) return;  // in no process
  const torch::NoGradGuard no_grad;
  gradient_ = head_->gradient();
  if (group.size() == 1) return;
  // By shares, so that all processes get the same bits.
  const int64_t count = gradient_.numel();
  const int64_t chunk = (count + group.size() - 1) / group.size();
  auto flat = torch::zeros({chunk * group.size()}, gradient_.options());
  flat.narrow(0, 0, count).copy_(gradient_.view(-1));
  group.all_gather(group.reduce_scatter(flat), flat);
  gradient_ = flat.narrow(0, 0, count).view(gradient_.sizes());
}

double RowAdamW::norm_with(double norm) const {
  return gradient_.defined() ? std::hypot(norm, ops::grad_norm({gradient_})) : norm;
}

torch::Tensor RowAdamW::late_norm_with(const torch::Tensor& norm) const {
  if (!gradient_.defined()) return norm;
  const auto own = ops::late_grad_norm({gradient_});
  return torch::hypot(norm, own.to(norm.device()));
}

void RowAdamW::step(double lr, double norm) {
  ops::AdamWStep how;
  how.lr = lr;
  if (options_.max_grad_norm > 0) how.grad_scale = ops::clip_scale(norm, options_.max_grad_norm);
  step(how);
}

void RowAdamW::late_step(double lr, const torch::Tensor& norm) {
  ops::AdamWStep how;
  how.lr = lr;
  how.late_grad_scale = ops::late_clip_scale(norm, options_.max_grad_norm);
  step(how);
}

void RowAdamW::step(ops::AdamWStep how) {
  if (!gradient_.defined()) return;
  how.beta1 = options_.beta1;
  how.beta2 = options_.beta2;
  how.epsilon = options_.epsilon;
  ops::adamw_step_rows({.value = head_->values(),
                        .exp_avg = head_->first_moments(),
                        .exp_avg_sq = head_->second_moments(),
                        .steps = head_->steps(),
                        .rows = head_->ids(),
                        .grad = gradient_,
                        .weight_decay = options_.weight_decay},
                       how);
}

}  // namespace opencloc
