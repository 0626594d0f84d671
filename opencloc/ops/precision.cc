#include "opencloc/ops/precision.h"

namespace opencloc {
namespace {
thread_local Precision current = Precision::kFp32;
}

Precision matmul_precision() { return current; }

PrecisionScope::PrecisionScope(Precision precision) : before_(current) { current = precision; }
PrecisionScope::~PrecisionScope() { current = before_; }

}  // namespace opencloc
