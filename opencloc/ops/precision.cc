#include "opencloc/ops/precision.h"

namespace opencloc {
namespace {
thread_local Precision current = Precision::kFp32;
thread_local Backend current_backend = Backend::kKernels;
}  // namespace

Precision matmul_precision() { return current; }
Backend backend_now() { return current_backend; }

PrecisionScope::PrecisionScope(Precision precision) : before_(current) { current = precision; }
PrecisionScope::~PrecisionScope() { current = before_; }

BackendScope::BackendScope(Backend backend) : before_(current_backend) {
  current_backend = backend;
}
BackendScope::~BackendScope() { current_backend = before_; }

}  // namespace opencloc
