// The precision matrix products run in. Weights, activations between ops and gradients stay F32;
// kBf16 rounds the operands of each product to bfloat16 and accumulates in F32.
//
// It is a value that a model carries (Cloc::set_precision): each of its calls opens a scope on the
// thread that makes it, and an op that autograd records multiplies backward as it did forward,
// whatever scope is open then. Two models of one program may differ.
#pragma once

namespace opencloc {

enum class Precision { kFp32, kBf16 };

// Of the calling thread's innermost scope; kFp32 outside of all.
Precision matmul_precision();

class PrecisionScope {
 public:
  explicit PrecisionScope(Precision precision);
  ~PrecisionScope();
  PrecisionScope(const PrecisionScope&) = delete;
  PrecisionScope& operator=(const PrecisionScope&) = delete;

 private:
  Precision before_;
};

}  // namespace opencloc
