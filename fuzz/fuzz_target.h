// What every target does: hand bytes to a reader. An Error is an answer; anything else (a crash, a
// sanitizer's report, another exception, too much memory or time) is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "opencloc/base/error.h"

namespace opencloc {

template <typename Read>
int fuzz(const uint8_t* data, size_t size, const Read& read) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    read(text);
  } catch (const Error&) {
  }
  return 0;
}

inline std::span<const std::byte> bytes_of_text(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace opencloc
