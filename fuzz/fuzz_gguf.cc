// A whole GGUF file; all keys are asked for as every type.
#include "fuzz/fuzz_target.h"
#include "opencloc/checkpoint/file/gguf_header.h"

namespace {

template <typename Ask>
void ask(const Ask& question) {
  try {
    question();
  } catch (const opencloc::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return opencloc::fuzz(data, size, [](std::string_view text) {
    const auto file = opencloc::bytes_of_text(text);
    const opencloc::GgufHeader header(file, "fuzz");
    for (const auto& item : header.keys()) {
      const std::string& key = item.first;
      ask([&] { header.integer(key, 0); });
      ask([&] { header.number(key, 0); });
      ask([&] { header.boolean(key, false); });
      ask([&] { header.text(key, ""); });
      ask([&] { header.numbers(key); });
    }
    volatile char last = 0;  // every tensor lies within the file
    for (const auto& tensor : header.tensors()) {
      if (tensor.size > 0) last = text[tensor.begin + tensor.size - 1];
    }
    static_cast<void>(last);
  });
}
