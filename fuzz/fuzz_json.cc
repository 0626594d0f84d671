// Our JSON: what was read is written and read again.
#include <cstdlib>

#include "fuzz/fuzz_target.h"
#include "opencloc/base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return opencloc::fuzz(data, size, [](std::string_view text) {
    const opencloc::Json json = opencloc::parse_json(text, "fuzz");
    const std::string once = opencloc::dump_json(json);
    if (opencloc::dump_json(opencloc::parse_json(once, "again")) != once) std::abort();
    static_cast<void>(opencloc::json_int(json, "a", "fuzz", 0));
    static_cast<void>(opencloc::json_number(json, "b", "fuzz", 0));
  });
}
