#include "opencloc/serve/wire.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/text_file.h"

namespace opencloc::serve {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

[[noreturn]] void refuse(std::string message, std::string param = {}) {
  throw Refused{bad_request(std::move(message), std::move(param))};
}

void check_depth_of(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kWireLimits.json_depth)
        refuse("the JSON is nested deeper than " + std::to_string(kWireLimits.json_depth) +
               " levels");
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

std::vector<float> floats_of(const Json& value, size_t count, const std::string& param) {
  if (!value.is_array() || value.size() != count)
    refuse("not a list of " + std::to_string(count) + " numbers", param);
  std::vector<float> numbers;
  for (const Json& x : value) {
    if (!x.is_number() || !std::isfinite(x.get<float>())) refuse("not a finite number", param);
    numbers.push_back(x.get<float>());
  }
  return numbers;
}

Mask mask_of(const Json& value, const std::string& param) {
  if (!value.is_object()) refuse("not an object with width, height and rle", param);
  const int64_t width = whole_at(value, "width", 0), height = whole_at(value, "height", 0);
  if (width < 1 || height < 1 || width > kWireLimits.mask_cells ||
      height > kWireLimits.mask_cells || width * height > kWireLimits.mask_cells) {
    refuse("a mask has a width and a height, and at most " +
               std::to_string(kWireLimits.mask_cells) + " cells",
           param);
  }
  const Json* runs = find_key(value, "rle");
  if (runs == nullptr || !runs->is_array()) refuse("rle is not a list of run lengths", param);
  std::vector<uint8_t> inside;
  const auto cells = static_cast<size_t>(width * height);
  inside.reserve(cells);
  bool bright = false;
  for (const Json& run : *runs) {
    if (!run.is_number_unsigned() || run.get<uint64_t>() > cells - inside.size())
      refuse("the run lengths do not fit the mask's size", param);
    inside.insert(inside.end(), run.get<size_t>(), bright ? 1 : 0);
    bright = !bright;
  }
  if (inside.size() != cells) refuse("the run lengths do not fill the mask", param);
  try {
    return {static_cast<int>(width), static_cast<int>(height), std::move(inside)};
  } catch (const Error& error) {
    refuse(error.what(), param);
  }
}

// The value of NAME in `; name="value"`.
std::string parameter(std::string_view header, std::string_view name) {
  size_t at = 0;
  while ((at = header.find(';', at)) != header.npos) {
    ++at;
    while (at < header.size() && (header[at] == ' ' || header[at] == '\t')) ++at;
    const std::string_view rest = header.substr(at);
    if (lower(rest.substr(0, name.size())) != name || rest.size() <= name.size() ||
        rest[name.size()] != '=') {
      continue;
    }
    std::string_view value = rest.substr(name.size() + 1);
    if (value.starts_with('"')) {
      value.remove_prefix(1);
      return std::string(value.substr(0, value.find('"')));
    }
    return std::string(trimmed(value.substr(0, value.find(';'))));
  }
  return {};
}

}  // namespace

Json parse_object(std::string_view body) {
  check_depth_of(body);
  Json json;
  try {
    json = parse_json(body, "body");
  } catch (const Error& error) {
    refuse(error.what());
  }
  if (!json.is_object()) refuse("the body is not a JSON object");
  return json;
}

void require_known_keys(const Json& object, std::initializer_list<std::string_view> known,
                        const std::string& where) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    std::string names;
    for (const auto name : known) names += (names.empty() ? "" : ", ") + std::string(name);
    refuse("unknown key '" + key.substr(0, 100) + "': known are " + names,
           where.empty() ? key.substr(0, 100) : where);
  }
}

const Json* find_key(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(key);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

std::string text_at(const Json& object, const char* key, std::string fallback) {
  const Json* value = find_key(object, key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) refuse("not a string", key);
  return value->get<std::string>();
}

double number_at(const Json& object, const char* key, double fallback) {
  const Json* value = find_key(object, key);
  if (value == nullptr) return fallback;
  if (!value->is_number() || !std::isfinite(value->get<double>())) refuse("not a number", key);
  return value->get<double>();
}

int64_t whole_at(const Json& object, const char* key, int64_t fallback) {
  const double number = number_at(object, key, static_cast<double>(fallback));
  if (number != std::floor(number) || std::abs(number) > 9e15) refuse("not a whole number", key);
  return static_cast<int64_t>(number);
}

bool flag_at(const Json& object, const char* key, bool fallback) {
  const Json* value = find_key(object, key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) refuse("not true or false", key);
  return value->get<bool>();
}

void check_text(const std::string& text, const std::string& param) {
  if (text.empty()) refuse("the text is empty", param);
  if (text.size() > kWireLimits.text_bytes)
    refuse("the text is longer than " + std::to_string(kWireLimits.text_bytes) + " bytes", param);
}

std::vector<std::string> texts_of(const Json& value, const std::string& param) {
  std::vector<std::string> texts;
  if (value.is_string()) {
    texts.push_back(value.get<std::string>());
    check_text(texts.front(), param);
    return texts;
  }
  if (!value.is_array() || value.empty()) refuse("not a list of texts", param);
  if (value.size() > kWireLimits.texts)
    refuse("more than " + std::to_string(kWireLimits.texts) + " texts", param);
  for (const Json& text : value) {
    const std::string place = param + "[" + std::to_string(texts.size()) + "]";
    if (!text.is_string()) refuse("not a text", place);
    texts.push_back(text.get<std::string>());
    check_text(texts.back(), place);
  }
  return texts;
}

std::optional<std::string> base64_decoded(std::string_view text) {
  static const auto values = [] {
    std::array<int8_t, 256> table{};
    table.fill(-1);
    for (size_t i = 0; i < kAlphabet.size(); ++i)
      table[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int8_t>(i);
    table['-'] = 62;  // of addresses
    table['_'] = 63;
    return table;
  }();
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int count = 0;
  size_t padding = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == ' ') continue;
    if (c == '=') {
      if (++padding > 2) return std::nullopt;
      continue;
    }
    const int value = values[static_cast<unsigned char>(c)];
    if (value < 0 || padding > 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (++count == 4) {
      bytes += static_cast<char>(bits >> 16);
      bytes += static_cast<char>(bits >> 8);
      bytes += static_cast<char>(bits);
      bits = 0;
      count = 0;
    }
  }
  if (count == 1) return std::nullopt;
  if (count == 2) bytes += static_cast<char>(bits >> 4);
  if (count == 3) {
    bytes += static_cast<char>(bits >> 10);
    bytes += static_cast<char>(bits >> 2);
  }
  return bytes;
}

std::string base64_encoded(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k)
      text += i + k <= bytes.size() ? kAlphabet[bits >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::string bytes_of_floats(const std::vector<float>& values) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(values.size() * sizeof(float), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

bool looks_like_url(std::string_view text) {
  const std::string start = lower(text.substr(0, 8));
  for (const std::string_view scheme : {"http://", "https://", "ftp://", "file://", "s3://"}) {
    if (start.starts_with(scheme)) return text.find_first_of(" \n\t") == text.npos;
  }
  return false;
}

std::string picture_of(const std::string& text, const std::string& param) {
  if (looks_like_url(text)) {
    refuse("this server opens no addresses: send the picture itself, as base64 or a data: URI",
           param);
  }
  std::string_view encoded = text;
  if (lower(encoded.substr(0, 5)) == "data:") {
    const size_t comma = encoded.find(',');
    const std::string kind = lower(encoded.substr(0, comma));
    if (comma == encoded.npos || !kind.ends_with(";base64"))
      refuse("the data: URI is not base64: data:image/jpeg;base64,...", param);
    encoded.remove_prefix(comma + 1);
  }
  auto bytes = base64_decoded(encoded);
  if (!bytes) refuse("the picture is not base64", param);
  if (bytes->empty()) refuse("the picture is empty", param);
  return std::move(*bytes);
}

Box box_of_json(const Json& value, const std::string& param) {
  const auto b = floats_of(value, 4, param);
  return {b[0], b[1], b[2], b[3]};
}

std::string json_of_floats(const std::vector<float>& values) {
  fmt::memory_buffer text;
  text.push_back('[');
  for (size_t i = 0; i < values.size(); ++i)
    fmt::format_to(std::back_inserter(text), "{}{}", i == 0 ? "" : ",", values[i]);
  text.push_back(']');
  return fmt::to_string(text);
}

std::string json_with(const Json& object, std::string_view key, std::string_view value) {
  std::string text = dump_json(object);
  text.pop_back();
  if (!object.empty()) text += ',';
  return text.append("\"").append(key).append("\":").append(value) + "}";
}

EmbeddingForm embedding_form(const Json& request) {
  const std::string form = text_at(request, "encoding_format", "float");
  if (form == "float") return EmbeddingForm::kFloat;
  if (form == "base64") return EmbeddingForm::kBase64;
  refuse("'float' and 'base64' are known", "encoding_format");
}

std::string json_of_embedding(const std::vector<float>& values, EmbeddingForm form) {
  if (form == EmbeddingForm::kFloat) return json_of_floats(values);
  return '"' + base64_encoded(bytes_of_floats(values)) + '"';
}

double shown_float(float value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  double shown = 0;
  std::from_chars(text, end, shown);
  return shown;
}

Json json_of(const Box& box) {
  return {shown_float(box.x0), shown_float(box.y0), shown_float(box.x1), shown_float(box.y1)};
}

Prompt prompt_of(const Json& object, const std::string& param) {
  if (!object.is_object() || object.size() != 1)
    refuse("a prompt is an object with one of box, point, mask and text", param);
  if (const Json* box = find_key(object, "box")) return box_of_json(*box, param + ".box");
  if (const Json* point = find_key(object, "point")) {
    const auto p = floats_of(*point, 2, param + ".point");
    return Point{p[0], p[1]};
  }
  if (const Json* mask = find_key(object, "mask")) return mask_of(*mask, param + ".mask");
  if (const Json* text = find_key(object, "text")) {
    if (!text->is_string()) refuse("not a text", param + ".text");
    check_text(text->get_ref<const std::string&>(), param + ".text");
    return text->get<std::string>();
  }
  refuse("a prompt is an object with one of box, point, mask and text", param);
}

std::vector<FormPart> parse_form(std::string_view content_type, std::string_view body) {
  const std::string boundary = parameter(content_type, "boundary");
  if (boundary.empty() || boundary.size() > 70) refuse("the form has no boundary");
  const std::string line = "\r\n--" + boundary;
  const std::string first = line.substr(2);
  if (!body.starts_with(first)) refuse("the form does not begin with its boundary");
  std::vector<FormPart> parts;
  size_t at = first.size();
  while (!body.substr(at).starts_with("--")) {
    if (!body.substr(at).starts_with("\r\n")) refuse("the form is damaged");
    at += 2;
    if (parts.size() == kWireLimits.parts)
      refuse("the form has more than " + std::to_string(kWireLimits.parts) + " parts");
    const size_t end = body.find(line, at);
    if (end == body.npos) refuse("the form is cut short");
    std::string_view part = body.substr(at, end - at);
    const size_t blank = part.find("\r\n\r\n");
    if (blank == part.npos) refuse("a part of the form has no head");
    FormPart parsed;
    std::string_view head = part.substr(0, blank);
    parsed.body = part.substr(blank + 4);
    while (!head.empty()) {
      const std::string_view field = head.substr(0, head.find("\r\n"));
      head.remove_prefix(std::min(head.size(), field.size() + 2));
      const size_t colon = field.find(':');
      if (colon == field.npos) refuse("a part of the form has a damaged head");
      const std::string name = lower(field.substr(0, colon));
      const std::string_view value = trimmed(field.substr(colon + 1));
      if (name == "content-disposition") {
        parsed.name = parameter(value, "name");
        parsed.file = parameter(value, "filename");
      } else if (name == "content-type") {
        parsed.content_type = lower(value);
      }
    }
    parts.push_back(std::move(parsed));
    at = end + line.size();
  }
  return parts;
}

}  // namespace opencloc::serve
