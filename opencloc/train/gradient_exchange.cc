#include "opencloc/train/gradient_exchange.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/utils.h>

#include "opencloc/ops/optimizer_step.h"

namespace opencloc {
namespace {

constexpr int64_t kFirstBucketBytes = int64_t{1} << 20;  // the first one leaves early

}  // namespace

GradientExchange::GradientExchange(const NamedTensors& parameters, dist::Group& group,
                                   const GradientExchangeOptions& options)
    : group_(group), line_(group.line("gradients")), sharded_(options.sharded) {
  for (const auto& [name, parameter] : parameters) parameters_.push_back(parameter);
  make_buckets(options);
  watch_parameters();
  thread_ = std::thread([this] { send_buckets(); });
}

GradientExchange::~GradientExchange() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  for (auto& parameter : parameters_) parameter.mutable_grad().reset();
}

// Backward passes reach the last parameters first.
void GradientExchange::make_buckets(const GradientExchangeOptions& options) {
  const int64_t ranks = group_.size();
  bucket_of_.resize(parameters_.size());
  used_ = torch::zeros({static_cast<int64_t>(parameters_.size())}, torch::kUInt8);
  std::vector<int64_t> sizes;
  for (size_t i = parameters_.size(); i-- > 0;) {
    const int64_t limit = buckets_.size() <= 1 ? std::min(kFirstBucketBytes, options.bucket_bytes)
                                               : options.bucket_bytes;
    const int64_t count = parameters_[i].numel();
    const bool full =
        !buckets_.empty() && (sizes.back() + count) * static_cast<int64_t>(sizeof(float)) > limit;
    if (buckets_.empty() || full) {
      buckets_.emplace_back();
      sizes.push_back(0);
    }
    buckets_.back().members.push_back({i, 0, count});
    buckets_.back().offsets.push_back(sizes.back());
    bucket_of_[i] = buckets_.size() - 1;
    sizes.back() += count;
  }
  for (size_t b = 0; b < buckets_.size(); ++b) {
    auto& bucket = buckets_[b];
    const int64_t chunk = (sizes[b] + ranks - 1) / ranks;
    bucket.flat = torch::zeros({chunk * ranks}, parameters_.front().options().requires_grad(false));
    const int64_t begin = group_.rank() * chunk, end = begin + chunk;
    for (size_t m = 0; m < bucket.members.size(); ++m) {
      const int64_t offset = bucket.offsets[m];
      const ParameterPiece piece{bucket.members[m].parameter, std::max<int64_t>(0, begin - offset),
                                 std::min(bucket.members[m].end, end - offset)};
      if (piece.begin < piece.end) own_pieces_.push_back(piece);
    }
  }
}

void GradientExchange::watch_parameters() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    auto accumulator = torch::autograd::impl::grad_accumulator(parameters_[i]);
    accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [this, i](const torch::autograd::variable_list& outputs,
                  const torch::autograd::variable_list& gradients) {
          made(i, gradients[0].defined());
          return outputs;
        }));
    accumulators_.push_back(std::move(accumulator));
  }
}

void GradientExchange::begin(int64_t passes) {
  const std::lock_guard lock(mutex_);
  one_pass_ = passes == 1;
  sent_ = 0;
  used_.zero_();
  for (auto& bucket : buckets_) {
    bucket.ready = false;
    bucket.missing = bucket.members.size();
    bucket.flat.zero_();
    for (size_t m = 0; m < bucket.members.size(); ++m) {
      auto& parameter = parameters_[bucket.members[m].parameter];
      parameter.mutable_grad() =
          bucket.flat.narrow(0, bucket.offsets[m], bucket.members[m].end).view(parameter.sizes());
    }
  }
}

void GradientExchange::made(size_t parameter, bool has_gradient) {
  const std::lock_guard lock(mutex_);
  if (has_gradient) used_.data_ptr<uint8_t>()[parameter] = 1;
  auto& bucket = buckets_[bucket_of_[parameter]];
  if (!one_pass_ || bucket.missing == 0 || --bucket.missing > 0) return;
  bucket.ready = true;
  changed_.notify_all();
}

void GradientExchange::send_buckets() {
  std::unique_lock lock(mutex_);
  while (true) {
    // In their order, which is the same in all processes.
    changed_.wait(lock, [this] {
      return stopping_ || (!failure_ && sent_ < buckets_.size() && buckets_[sent_].ready);
    });
    if (stopping_) return;
    auto& bucket = buckets_[sent_];
    lock.unlock();
    std::exception_ptr failure;
    try {
      send(bucket);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    failure_ = failure;
    ++sent_;
    changed_.notify_all();
  }
}

torch::Tensor GradientExchange::own_chunk(const torch::Tensor& flat) const {
  const int64_t chunk = flat.numel() / group_.size();
  return flat.narrow(0, group_.rank() * chunk, chunk);
}

void GradientExchange::send(Bucket& bucket) {
  const torch::NoGradGuard no_grad;
  const auto sum = line_->reduce_scatter(bucket.flat);
  if (sharded_) {
    own_chunk(bucket.flat).copy_(sum);
  } else {
    line_->all_gather(sum, bucket.flat);
  }
}

void GradientExchange::finish() {
  {
    std::unique_lock lock(mutex_);
    for (auto& bucket : buckets_) bucket.ready = true;
    changed_.notify_all();
    const auto began = std::chrono::steady_clock::now();
    changed_.wait(lock, [this] { return failure_ || sent_ == buckets_.size(); });
    waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    if (failure_) std::rethrow_exception(failure_);
  }
  group_.max(used_);
  const auto* used = used_.data_ptr<uint8_t>();
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (used[i] == 0) parameters_[i].mutable_grad().reset();
}

torch::Tensor GradientExchange::late_norm() const {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> own;
  for (const auto& bucket : buckets_) own.push_back(own_chunk(bucket.flat));
  const auto part = ops::late_grad_norm(own);
  const auto parts = group_.gather((part * part).view({1})).rows;
  auto sum = torch::zeros({}, parts.options());
  for (int64_t rank = 0; rank < group_.size(); ++rank) sum += parts[rank];
  return sum.sqrt();
}

double GradientExchange::norm() const { return late_norm().item<double>(); }

void GradientExchange::share_values() {
  if (!sharded_) return;
  const torch::NoGradGuard no_grad;
  for (auto& bucket : buckets_) {
    // The gradients are spent: their place serves.
    for (size_t m = 0; m < bucket.members.size(); ++m)
      bucket.flat.narrow(0, bucket.offsets[m], bucket.members[m].end)
          .copy_(parameters_[bucket.members[m].parameter].detach().view(-1));
    group_.all_gather(own_chunk(bucket.flat).clone(), bucket.flat);
    for (size_t m = 0; m < bucket.members.size(); ++m) {
      auto value = parameters_[bucket.members[m].parameter].detach();
      value.copy_(
          bucket.flat.narrow(0, bucket.offsets[m], bucket.members[m].end).view(value.sizes()));
    }
  }
}

std::vector<torch::Tensor> GradientExchange::collect(const std::vector<torch::Tensor>& own) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> whole(group_.is_first() ? parameters_.size() : 0);
  size_t next = 0;
  for (const auto& bucket : buckets_) {
    auto flat = torch::zeros_like(bucket.flat);
    auto chunk = own_chunk(flat);
    for (size_t m = 0; m < bucket.members.size() && next < own_pieces_.size(); ++m) {
      const auto& piece = own_pieces_[next];
      if (piece.parameter != bucket.members[m].parameter) continue;
      flat.narrow(0, bucket.offsets[m] + piece.begin, piece.end - piece.begin)
          .copy_(own[next++].view(-1));
    }
    group_.all_gather(chunk.clone(), flat);
    if (!group_.is_first()) continue;
    for (size_t m = 0; m < bucket.members.size(); ++m) {
      const auto& parameter = parameters_[bucket.members[m].parameter];
      whole[bucket.members[m].parameter] =
          flat.narrow(0, bucket.offsets[m], bucket.members[m].end).clone().view(parameter.sizes());
    }
  }
  return whole;
}

}  // namespace opencloc
