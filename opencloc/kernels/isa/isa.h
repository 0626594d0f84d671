// Which instruction set the kernels run on: the best this processor and its system allow, or the
// one named by the environment variable OPENCLOC_ISA (amx, avx512_bf16, avx512, avx2, scalar),
// which is for tests and measurements; nobody needs to set it.
#pragma once

#include <string_view>
#include <vector>

namespace opencloc::kernels {

// Each includes those before it. kAvx512Bf16 and kAmx include VNNI (every processor with bf16 has
// it); kAvx512 uses it where has_vnni().
enum class Isa { kScalar, kAvx2, kAvx512, kAvx512Bf16, kAmx };

const char* to_string(Isa isa);
// OPENCLOC_ISA as it stands; empty when it is not set.
std::string_view wanted_isa();
// By feature bits and the system's consent; does not depend on OPENCLOC_ISA.
bool isa_supported(Isa isa);
// AVX-512's products of u8 with s8.
bool has_vnni();
// What the processor says of itself, as far as it matters to amx_palette_hidden().
struct AmxLeaves {
  bool feature_bits = false;  // any of AMX's
  unsigned highest_leaf = 0;
  unsigned palettes = 0;  // leaf 0x1D, register eax: the number of the last palette
};
AmxLeaves read_amx_leaves();
// True where a hypervisor shows AMX's feature bits and hides the leaves that describe its tiles.
bool amx_palette_hidden(const AmxLeaves& leaves);

// Every supported one, worst first.
std::vector<Isa> supported_isas();

// The one in use. Error (input) if OPENCLOC_ISA names an unknown or unsupported one.
Isa active_isa();
// For tests and measurements. `isa` must be supported. Not while kernels run.
void set_active_isa(Isa isa);

}  // namespace opencloc::kernels
