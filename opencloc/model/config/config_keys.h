// Reading a JSON object of which every key must be understood: what is neither read nor covered by
// a rule is an error, because a key that is ignored silently is a different model.
#pragma once

#include <initializer_list>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "opencloc/base/json.h"

namespace opencloc {

// A key that need not be read: it may have any value, or `only` that one (null always means the
// default, as in open_clip).
struct KeyRule {
  const char* key = nullptr;
  std::optional<Json> only = std::nullopt;
};

class KeyReader {
 public:
  // `object` and `where` outlive the reader. Error (input) when it is no object.
  KeyReader(const Json& object, const std::string& where);

  // Null when the key is missing or null.
  const Json* find(const char* key);
  // Is it there, be it null?
  bool has(const char* key) const { return object_.contains(key); }
  // Error (input) when the key is missing.
  const Json& at(const char* key);
  // Typed; `fallback` when missing or null; Error (input) for another type.
  int64_t integer(const char* key, int64_t fallback);
  double number(const char* key, double fallback);
  bool boolean(const char* key, bool fallback);
  std::string text(const char* key, const std::string& fallback);

  // Keys somebody else reads.
  void allow(std::initializer_list<const char*> keys);
  // Error (input) for the first key that was not read and breaks or lacks a rule.
  void finish(std::span<const KeyRule> rules) const;

 private:
  const Json& object_;
  const std::string& where_;
  std::set<std::string> read_;
};

}  // namespace opencloc
