// Which instruction set the kernels run on: the best this processor and its system allow, or the
// one named by the environment variable OPENCLOC_ISA (amx, avx512, avx2, scalar), which is for
// tests and measurements; nobody needs to set it.
#pragma once

#include <vector>

namespace opencloc::kernels {

enum class Isa { kScalar, kAvx2, kAvx512, kAmx };  // each includes the ones before it

const char* to_string(Isa isa);
// By feature bits and the system's consent; does not depend on OPENCLOC_ISA.
bool isa_supported(Isa isa);
// Every supported one, worst first.
std::vector<Isa> supported_isas();

// The one in use. Error (input) if OPENCLOC_ISA names an unknown or unsupported one.
Isa active_isa();
// For tests and measurements. `isa` must be supported. Not while kernels run.
void set_active_isa(Isa isa);

// AVX512_BF16's own dot product; the kAvx512 level itself does not ask for it.
bool has_avx512_bf16();

}  // namespace opencloc::kernels
