#include "opencloc/model/config/architectures.h"

namespace opencloc {
namespace {

constexpr EmbeddedArchitecture kArchitectures[] = {
#include "architectures.inc"  // written by CMakeLists.txt: {"NAME", R"(JSON)"}, ...
};

}  // namespace

std::span<const EmbeddedArchitecture> embedded_architectures() { return kArchitectures; }

}  // namespace opencloc
