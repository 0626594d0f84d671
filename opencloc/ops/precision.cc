#include "opencloc/ops/precision.h"

#include <atomic>

namespace opencloc {
namespace {
std::atomic<Precision> current{Precision::kFp32};
}

Precision matmul_precision() { return current; }
void set_matmul_precision(Precision precision) { current = precision; }

}  // namespace opencloc
