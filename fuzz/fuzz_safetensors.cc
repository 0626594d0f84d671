// The header of a safetensors file, in front of as much data as its last offset says (up to 4 KiB),
// so that sound headers get through; a header that was read is written and read again.
#include <cstdlib>

#include "fuzz/fuzz_target.h"
#include "opencloc/checkpoint/file/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return opencloc::fuzz(data, size, [](std::string_view text) {
    const size_t comma = text.rfind(',');
    const uint64_t bytes =
        comma == text.npos
            ? 0
            : std::strtoull(std::string(text.substr(comma + 1)).c_str(), nullptr, 10);
    const auto header = opencloc::parse_safetensors_header(text, bytes % 4096, "fuzz");
    const std::string again = opencloc::format_safetensors_header(header);
    if (opencloc::parse_safetensors_header(again, bytes % 4096, "again").tensors.size() !=
        header.tensors.size()) {
      std::abort();
    }
  });
}
