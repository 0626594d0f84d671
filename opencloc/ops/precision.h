// What the operations of a model compute in, and what computes them.
//
// Both are values that a model carries (Cloc::set_precision, Cloc::set_backend): each of its calls
// opens a scope on the thread that makes it, and an op that autograd records goes backward as it
// went forward, whatever scope is open then. Two models of one program may differ.
#pragma once

namespace opencloc {

// Of matrix products. Weights and gradients stay F32. kBf16 rounds the operands of each product to
// bfloat16 and accumulates in F32; our kernels keep activations in F32 between products, libtorch's
// backend in bf16 as well.
enum class Precision { kFp32, kBf16 };

// kKernels: our own kernels for F32 tensors in main memory, libtorch for all others. kTorch:
// libtorch for all, on the CPU too: what a GPU runs, where there is none.
enum class Backend { kKernels, kTorch };

// Of the calling thread's innermost scopes; kFp32 and kKernels outside of all.
Precision matmul_precision();
Backend backend_now();

class PrecisionScope {
 public:
  explicit PrecisionScope(Precision precision);
  ~PrecisionScope();
  PrecisionScope(const PrecisionScope&) = delete;
  PrecisionScope& operator=(const PrecisionScope&) = delete;

 private:
  Precision before_;
};

class BackendScope {
 public:
  explicit BackendScope(Backend backend);
  ~BackendScope();
  BackendScope(const BackendScope&) = delete;
  BackendScope& operator=(const BackendScope&) = delete;

 private:
  Backend before_;
};

// Both, of a model's call.
struct ComputeScope {
  ComputeScope(Precision precision, Backend backend)
      : of_precision(precision), of_backend(backend) {}
  PrecisionScope of_precision;
  BackendScope of_backend;
};

}  // namespace opencloc
