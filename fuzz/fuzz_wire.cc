// What a server takes out of a request's body: JSON, prompts, texts, pictures in base64, forms.
#include <cstdlib>

#include "fuzz/fuzz_target.h"
#include "opencloc/serve/wire.h"

namespace opencloc::serve {
namespace {

template <typename Read>
void take(const Read& read) {
  try {
    read();
  } catch (const Refused& refused) {
    if (refused.error.status < 400 || refused.error.message.empty()) std::abort();
    error_response(refused.error);
  }
}

void take_json(std::string_view text) {
  const Json json = parse_object(text);
  for (const auto& item : json.items()) {
    const std::string& key = item.key();  // clang 14 captures no structured bindings
    const Json& value = item.value();
    const char* name = key.c_str();
    take([&] { prompt_of(value, key); });
    take([&] { texts_of(value, key); });
    take([&] { text_at(json, name); });
    take([&] { whole_at(json, name, 0); });
    take([&] { flag_at(json, name, false); });
    take([&] {
      if (value.is_string()) picture_of(value.get<std::string>(), key);
    });
    take([&] {
      const Box box = box_of_json(value, key);
      if (!box.finite()) std::abort();
      json_of(box);
    });
  }
  take([&] { require_known_keys(json, {"a", "b"}); });
  json_with(json, "more", "1");
}

// Its first line is the boundary.
void take_form(std::string_view text) {
  const size_t line = text.find('\n');
  if (line == text.npos) return;
  const std::string type = "multipart/form-data; boundary=" + std::string(text.substr(0, line));
  size_t bytes = 0;
  const std::string_view body = text.substr(line + 1);
  for (const FormPart& part : parse_form(type, body)) bytes += part.body.size();
  if (bytes > body.size()) std::abort();
}

void take_base64(std::string_view text) {
  const auto bytes = base64_decoded(text);
  if (bytes && base64_decoded(base64_encoded(*bytes)) != bytes) std::abort();
  percent_decoded(text);
  query_value(text, "size");
}

}  // namespace
}  // namespace opencloc::serve

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace opencloc::serve;
  return opencloc::fuzz(data, size, [](std::string_view text) {
    take([&] { take_json(text); });
    take([&] { take_form(text); });
    take([&] { take_base64(text); });
  });
}
