// The precision matrix products run in. Weights, activations between ops and gradients stay F32;
// kBf16 rounds the operands of each product to bfloat16 and accumulates in F32.
#pragma once

namespace opencloc {

enum class Precision { kFp32, kBf16 };

// Process-wide, set once by a verb before work starts (autograd's threads see it too).
Precision matmul_precision();
void set_matmul_precision(Precision precision);

}  // namespace opencloc
