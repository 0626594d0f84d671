// Benchmarks of the matrix products and of a whole image tower on them.
#pragma once

#include <functional>
#include <string>

namespace opencloc::cli {

struct GemmRate {
  std::string name;        // "gemm/bf16/forward/4160x576x192" (rows x out x in), "tower/..."
  double items_per_s = 0;  // products, or images of a forward and backward pass
  double gflops = 0;
  double peak = 0;  // of the machine in this precision, measured in the same run
};
using ReportRate = std::function<void(const GemmRate&)>;

// The three products of a linear layer, F32 and bf16, on the shapes of ViT-XS/16 and ViT-B/16. The
// shortest of `repeats` runs of each.
void bench_gemm(int repeats, const ReportRate& report);

// Forward and backward pass of the blocks of an image tower (6 layers of width 192, 65 tokens,
// batch 64): our ops in F32 and bf16, and plain torch in the same process.
void bench_tower(int repeats, const ReportRate& report);

}  // namespace opencloc::cli
