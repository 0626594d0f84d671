#include "opencloc/base/json.h"

#include <cmath>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/json_stream.h"
#include "opencloc/base/not_fetched.h"
#include "opencloc/base/text_file.h"

namespace opencloc {
namespace {

constexpr int kMaxDepth = 256;

// nlohmann's parser does not recurse, but its destructor and our walkers do.
void check_depth(std::string_view text, std::string_view where) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) {
        throw Error::input("JSON nested deeper than 256 levels", where,
                           "check where the file comes from");
      }
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

[[noreturn]] void wrong_type(const char* key, std::string_view where, const char* expected) {
  throw Error::input(std::string("key '") + key + "' is not " + expected, where,
                     "correct the value");
}

const Json* find(const Json& object, const char* key, std::string_view where) {
  if (!object.is_object()) throw Error::input("not a JSON object", where, "correct the file");
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

}  // namespace

Json parse_json(std::string_view text, std::string_view where) {
  return parse_json_without(std::string(text), where, {});
}

SortedJson parse_sorted_json(std::string_view text, std::string_view where) {
  check_depth(text, where);
  try {
    return SortedJson::parse(text);
  } catch (const nlohmann::json::exception& e) {
    throw Error::input(std::string("invalid JSON (") + e.what() + ")", where,
                       "correct or replace the file");
  }
}

Json read_json(const std::filesystem::path& path) {
  std::string text = read_text(path);
  require_fetched(std::string_view(text).substr(0, 256), path);
  return parse_json_without(std::move(text), path.string(), {});
}

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string json_string(const Json& object, const char* key, std::string_view where,
                        std::string fallback) {
  const Json* value = find(object, key, where);
  if (value == nullptr) return fallback;
  if (!value->is_string()) wrong_type(key, where, "a string");
  return value->get<std::string>();
}

double json_number(const Json& object, const char* key, std::string_view where, double fallback) {
  const Json* value = find(object, key, where);
  if (value == nullptr) return fallback;
  if (!value->is_number()) wrong_type(key, where, "a number");
  if (!std::isfinite(value->get<double>())) wrong_type(key, where, "a finite number");
  return value->get<double>();
}

int64_t json_int(const Json& object, const char* key, std::string_view where, int64_t fallback) {
  const Json* value = find(object, key, where);
  if (value == nullptr) return fallback;
  if (value->is_number_integer()) return value->get<int64_t>();
  if (value->is_number_float()) {
    const double number = value->get<double>();
    if (number == std::floor(number) && std::abs(number) < 9e15)
      return static_cast<int64_t>(number);
  }
  wrong_type(key, where, "a whole number");
}

bool json_bool(const Json& object, const char* key, std::string_view where, bool fallback) {
  const Json* value = find(object, key, where);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) wrong_type(key, where, "true or false");
  return value->get<bool>();
}

const Json& json_at(const Json& object, const char* key, std::string_view where) {
  const Json* value = find(object, key, where);
  if (value == nullptr)
    throw Error::input(std::string("key '") + key + "' is missing", where, "add it");
  return *value;
}

}  // namespace opencloc
