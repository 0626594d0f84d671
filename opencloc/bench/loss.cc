#include "opencloc/loss/loss.h"

#include <fstream>

#include <malloc.h>
#include <torch/utils.h>

#include "opencloc/bench/precision.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/ops/caching_allocator.h"

namespace opencloc::bench {
namespace {

constexpr int64_t kWidth = 512;  // E

// The process's memory at its highest from now on.
class MemoryHighWater {
 public:
  MemoryHighWater() {
    malloc_trim(0);
    std::ofstream("/proc/self/clear_refs") << "5";  // VmHWM starts anew
    before_ = 1024.0 * static_cast<double>(status_kib("VmRSS:")) -
              static_cast<double>(ops::allocator_statistics().kept);
  }
  // Above what was in use then. Memory that was only kept counts as new.
  double growth() const { return 1024.0 * static_cast<double>(status_kib("VmHWM:")) - before_; }

 private:
  double before_ = 0;
};

}  // namespace

void loss(const BenchOptions& options) {
  const int64_t rows = options.loss_rows;
  torch::manual_seed(1);
  const auto unit = [&](const torch::Tensor& x) { return x.div_(x.norm(2, 1, true)); };
  auto regions = unit(torch::randn({rows, kWidth})).requires_grad_();  // [R, E]
  auto texts = unit(torch::randn({rows, kWidth})).requires_grad_();    // [R, E]
  auto scale = torch::full({}, kInitialLogitScale).requires_grad_();
  const auto text_id = torch::arange(rows, torch::kInt64);
  const MemoryHighWater memory;
  const auto step = [&] {
    const auto result = region_loss(regions, texts, text_id, scale, {.similarity_test = true});
    result.loss.backward();
    for (auto* leaf : {&regions, &texts, &scale}) leaf->mutable_grad().reset();
  };
  const Spent spent = time_of(options.seconds, step);
  const auto gradients = 2.0 * static_cast<double>(rows * kWidth) * sizeof(float);
  auto figure = figure_of("loss/r" + std::to_string(rows) + "-e" + std::to_string(kWidth),
                          static_cast<double>(rows), spent);
  // Forward and again backward the similarities and the texts' cosines; two products of the
  // gradient.
  const double square = 2.0 * static_cast<double>(rows) * static_cast<double>(rows) * kWidth;
  figure.gflops = 6.0 * square / spent.wall * 1e-9;
  figure.peak = measured_peak_fp32();
  figure.more["seconds"] = spent.wall;
  figure.more["cpu_seconds"] = spent.cpu;
  figure.more["extra_mib"] = (memory.growth() - gradients) / (1 << 20);
  report(options, figure);
}

}  // namespace opencloc::bench
