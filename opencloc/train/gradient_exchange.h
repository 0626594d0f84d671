// Gradients of several processes. They lie in flat buckets; a bucket goes on its way as soon as the
// backward pass has made all of it, while the pass makes the next one (Li et al., "PyTorch
// Distributed", 2020). Each process adds up one share of every bucket, in the order of the ranks,
// and, unless the optimizer is sharded (ZeRO-1, Rajbhandari et al., 2020), hands its sum to all.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <torch/csrc/autograd/variable.h>
#include <torch/types.h>

#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/dist/group.h"
#include "opencloc/train/optimizer.h"

namespace opencloc {

struct GradientExchangeOptions {
  int64_t bucket_bytes = int64_t{25} << 20;
  // Each process keeps only the sums of its shares, for an optimizer that steps those.
  bool sharded = false;
};

class GradientExchange {
 public:
  // F32 leaves of one device, the same ones in the same order in all processes of `group`, which
  // outlives it. All calls below are calls of all processes.
  GradientExchange(const NamedTensors& parameters, dist::Group& group,
                   const GradientExchangeOptions& options = {});
  ~GradientExchange();
  GradientExchange(const GradientExchange&) = delete;
  GradientExchange& operator=(const GradientExchange&) = delete;

  // Before a step's backward passes: every grad is zero, and part of a bucket. `passes` 1: buckets
  // may go on their way during the one pass that comes.
  void begin(int64_t passes);
  // After them: the parameters' grad are the sums over all processes (where sharded: the own
  // pieces of them are). A parameter that no process used has none.
  void finish();
  // Seconds that finish() has waited for the exchange, since the beginning.
  double waited() const { return waited_; }
  // L2 norm of all gradients, of what they are now: the same bits in all processes.
  double norm() const;
  torch::Tensor late_norm() const;  // scalar F64 where the gradients lie; nobody waits for it
  // On its own line.
  int64_t bytes_received() const { return line_->bytes_received(); }

  // What of the parameters this process has the sums of, and its optimizer steps.
  const std::vector<ParameterPiece>& own_pieces() const { return own_pieces_; }
  // After a sharded optimizer's step: the parameters are what each one's owner made of them.
  void share_values();
  // `own`: as own_pieces(), flat. The whole parameters, in rank 0; nothing in the others.
  std::vector<torch::Tensor> collect(const std::vector<torch::Tensor>& own);

 private:
  struct Bucket {
    torch::Tensor flat;                   // [chunk size()]
    std::vector<ParameterPiece> members;  // whole parameters, where they begin in `flat`
    std::vector<int64_t> offsets;
    size_t missing = 0;  // members whose gradient the pass has not made
    bool ready = false;
  };
  void make_buckets(const GradientExchangeOptions& options);
  void watch_parameters();
  void made(size_t parameter, bool has_gradient);
  void send_buckets();  // on the thread
  void send(Bucket& bucket);
  torch::Tensor own_chunk(const torch::Tensor& flat) const;

  std::vector<torch::Tensor> parameters_;
  dist::Group& group_;
  const std::unique_ptr<dist::Group> line_;  // the thread's
  const bool sharded_;
  std::vector<Bucket> buckets_;  // in the order in which a backward pass makes them, about
  std::vector<ParameterPiece> own_pieces_;
  // Keep the hooks alive.
  std::vector<decltype(torch::autograd::impl::grad_accumulator(torch::Tensor()))> accumulators_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<size_t> bucket_of_;  // of each parameter
  torch::Tensor used_;             // [parameters] uint8
  bool one_pass_ = false, stopping_ = false;
  size_t sent_ = 0;  // buckets of this step
  double waited_ = 0;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace opencloc
