// What comes in and goes out as JSON, base64 and multipart forms. No torch, no sockets: it is
// fuzzed.
//
// Everything a client can get wrong throws Refused, with the place in the request.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "opencloc/api/opencloc.h"
#include "opencloc/base/json.h"
#include "opencloc/serve/call.h"

namespace opencloc::serve {

struct WireLimits {
  int json_depth = 32;
  size_t images = 32;
  size_t texts = 256;
  size_t text_bytes = 8192;
  size_t prompts = 1024;
  int64_t mask_cells = 4 << 20;
  int64_t hits = 1000;         // of a search with rows
  int64_t bare_hits = 10'000;  // clip-retrieval's, most of which are ids alone
  size_t parts = 16;           // of a form
};
inline constexpr WireLimits kWireLimits;

// A request's body as an object.
Json parse_object(std::string_view body);
// 400 that names the first key which is none of `known`.
void require_known_keys(const Json& object, std::initializer_list<std::string_view> known,
                        const std::string& where = {});

// Typed access: 400 for a value of another type. A key that is not there, or null: the fallback.
std::string text_at(const Json& object, const char* key, std::string fallback = {});
double number_at(const Json& object, const char* key, double fallback);
int64_t whole_at(const Json& object, const char* key, int64_t fallback);
bool flag_at(const Json& object, const char* key, bool fallback);
// Null when the key is not there or null.
const Json* find_key(const Json& object, const char* key);
// A list of texts within the limits; a single string counts as one of it.
std::vector<std::string> texts_of(const Json& value, const std::string& param);
void check_text(const std::string& text, const std::string& param);

// RFC 4648, padded or not, line ends passed over; none for anything else.
std::optional<std::string> base64_decoded(std::string_view text);
std::string base64_encoded(std::string_view bytes);
// The little-endian floats of a vector.
std::string bytes_of_floats(const std::vector<float>& values);

// A picture in a request: base64, or a data: URI with it. URLs are refused: the server never
// opens a connection.
std::string picture_of(const std::string& text, const std::string& param);
bool looks_like_url(std::string_view text);

// Where in a picture.
struct WholePicture {};
using Prompt = std::variant<WholePicture, Box, Point, Mask, std::string>;
// {"box": [x0, y0, x1, y1]}, {"point": [x, y]}, {"mask": {"width", "height", "rle": [...]}} (run
// lengths row by row, what is outside first) or {"text": "..."}: one of them.
Prompt prompt_of(const Json& object, const std::string& param);
Box box_of_json(const Json& value, const std::string& param);
Json json_of(const Box& box);
// 0.1 for 0.1f, which as a double is 0.10000000149011612: what a reader wants to see.
double shown_float(float value);

// The JSON of a vector, with as many digits as tell its floats apart.
std::string json_of_floats(const std::vector<float>& values);
// An object's JSON with one more key, whose value is JSON already.
std::string json_with(const Json& object, std::string_view key, std::string_view value);
// An embedding in the form that is asked for: a list of numbers, or base64 of its floats.
enum class EmbeddingForm { kFloat, kBase64 };
EmbeddingForm embedding_form(const Json& request);
std::string json_of_embedding(const std::vector<float>& values, EmbeddingForm form);

// A part of multipart/form-data.
struct FormPart {
  std::string name, file, content_type;
  std::string_view body;  // in the request's
};
// `content_type` is the request's header, with its boundary.
std::vector<FormPart> parse_form(std::string_view content_type, std::string_view body);

}  // namespace opencloc::serve
