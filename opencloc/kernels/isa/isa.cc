#include "opencloc/kernels/isa/isa.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include "opencloc/base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace opencloc::kernels {
namespace {

constexpr Isa kAll[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx};

#if defined(__x86_64__)
bool feature_bit(unsigned leaf, unsigned subleaf, int reg, int bit) {
  unsigned regs[4] = {};
  if (!__get_cpuid_count(leaf, subleaf, &regs[0], &regs[1], &regs[2], &regs[3])) return false;
  return (regs[reg] >> bit) & 1u;
}

// Linux gives the tile registers only to a process that asks (ARCH_REQ_XCOMP_PERM). The feature
// bits decide, not the palette leaves 0x1D and 0x1E, which some hypervisors hide although AMX
// works.
bool ask_for_amx() {
  constexpr int kEdx = 3, kAmxBf16Bit = 22, kAmxTileBit = 24, kAmxInt8Bit = 25;
  for (const int bit : {kAmxBf16Bit, kAmxTileBit, kAmxInt8Bit}) {
    if (!feature_bit(7, 0, kEdx, bit)) return false;
  }
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool detect_vnni() {
  constexpr int kEcx = 2, kAvx512VnniBit = 11;
  return feature_bit(7, 0, kEcx, kAvx512VnniBit);
}

bool detect(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::kAvx512:
      return detect(Isa::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    case Isa::kAvx512Bf16: {
      constexpr int kEax = 0, kAvx512Bf16Bit = 5;
      return detect(Isa::kAvx512) && detect_vnni() && feature_bit(7, 1, kEax, kAvx512Bf16Bit);
    }
    case Isa::kAmx:
      return detect(Isa::kAvx512Bf16) && ask_for_amx();
  }
  return false;
}
constexpr unsigned kTileLeaf = 0x1D;
#else
constexpr unsigned kTileLeaf = 0;
bool detect_vnni() { return false; }
bool detect(Isa isa) { return isa == Isa::kScalar; }
#endif

Isa choose() {
  const std::string_view wanted = wanted_isa();
  if (wanted.empty()) return supported_isas().back();
  for (const Isa isa : kAll) {
    if (wanted != to_string(isa)) continue;
    if (isa_supported(isa)) return isa;
    throw Error::input("this processor does not have " + std::string(wanted), "OPENCLOC_ISA",
                       "unset it, or name an instruction set this processor has");
  }
  throw Error::input("unknown instruction set \"" + std::string(wanted) + "\"", "OPENCLOC_ISA",
                     "use amx, avx512_bf16, avx512, avx2 or scalar, or unset it");
}

std::atomic<Isa>& active() {
  static std::atomic<Isa> isa{choose()};
  return isa;
}

}  // namespace

const char* to_string(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAmx:
      return "amx";
  }
  return "?";
}

std::string_view wanted_isa() {
  const char* value = std::getenv("OPENCLOC_ISA");
  return value == nullptr ? "" : value;
}

bool isa_supported(Isa isa) {
  static const std::array<bool, std::size(kAll)> supported = [] {
    std::array<bool, std::size(kAll)> found{};
    for (const Isa each : kAll) found[static_cast<size_t>(each)] = detect(each);
    return found;
  }();
  return supported[static_cast<size_t>(isa)];
}

bool has_vnni() {
  static const bool found = isa_supported(Isa::kAvx512) && detect_vnni();
  return found;
}

AmxLeaves read_amx_leaves() {
  AmxLeaves leaves;
#if defined(__x86_64__)
  constexpr int kEdx = 3;
  for (const int bit : {22, 24, 25}) {
    leaves.feature_bits = leaves.feature_bits || feature_bit(7, 0, kEdx, bit);
  }
  leaves.highest_leaf = __get_cpuid_max(0, nullptr);
  unsigned ebx = 0, ecx = 0, edx = 0;
  if (leaves.highest_leaf >= kTileLeaf)
    __get_cpuid_count(kTileLeaf, 0, &leaves.palettes, &ebx, &ecx, &edx);
#endif
  return leaves;
}

bool amx_palette_hidden(const AmxLeaves& leaves) {
  return leaves.feature_bits && (leaves.highest_leaf < kTileLeaf || leaves.palettes == 0);
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : kAll) {
    if (isa_supported(isa)) isas.push_back(isa);
  }
  return isas;
}

Isa active_isa() { return active().load(std::memory_order_relaxed); }
void set_active_isa(Isa isa) { active() = isa; }

}  // namespace opencloc::kernels
