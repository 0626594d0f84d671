#include "opencloc/model/config/config_keys.h"

#include <algorithm>
#include <cmath>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

bool same(const Json& value, const Json& only) {
  if (value.is_number() && only.is_number()) {
    const double a = value.get<double>(), b = only.get<double>();
    return std::abs(a - b) <= 1e-4 * std::abs(b);  // configs round constants: 2.6592
  }
  return value == only;
}

}  // namespace

KeyReader::KeyReader(const Json& object, const std::string& where)
    : object_(object), where_(where) {
  if (!object.is_object()) throw Error::input("not a JSON object", where, "correct the file");
}

const Json* KeyReader::find(const char* key) {
  read_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const Json& KeyReader::at(const char* key) {
  read_.insert(key);
  return json_at(object_, key, where_);
}

int64_t KeyReader::integer(const char* key, int64_t fallback) {
  read_.insert(key);
  return json_int(object_, key, where_, fallback);
}

double KeyReader::number(const char* key, double fallback) {
  read_.insert(key);
  return json_number(object_, key, where_, fallback);
}

bool KeyReader::boolean(const char* key, bool fallback) {
  read_.insert(key);
  return json_bool(object_, key, where_, fallback);
}

std::string KeyReader::text(const char* key, const std::string& fallback) {
  read_.insert(key);
  return json_string(object_, key, where_, fallback);
}

void KeyReader::allow(std::initializer_list<const char*> keys) {
  read_.insert(keys.begin(), keys.end());
}

void KeyReader::finish(std::span<const KeyRule> rules) const {
  for (const auto& [key, value] : object_.items()) {
    if (read_.contains(key)) continue;
    const auto rule = std::find_if(rules.begin(), rules.end(),
                                   [&name = key](const KeyRule& r) { return name == r.key; });
    if (rule == rules.end()) {
      throw Error::input("unknown key '" + key + "'", where_,
                         "remove it, or check its spelling: it could mean another model");
    }
    if (rule->only && !value.is_null() && !same(value, *rule->only)) {
      throw Error::input("key '" + key + "' is " + dump_json(value) + ", which is not supported",
                         where_, "only " + dump_json(*rule->only) + " is: this is another model");
    }
  }
}

}  // namespace opencloc
