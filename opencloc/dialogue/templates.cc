#include "opencloc/dialogue/templates.h"

#include <algorithm>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"
#include "opencloc/dialogue/dialogue.h"

namespace opencloc {
namespace {

struct Wording {
  std::string task;
  std::string text;
  std::vector<std::string> slots;  // all of them must be there, and no other may be
};

const std::vector<Wording>& built_in() {
  static const std::vector<Wording> kAll = {
      {"refer", "Is the object {box} of the image a {a} or a {b}?", {"box", "a", "b"}},
      {"name", "What is the object {box} of the image?", {"box"}},
      {"point", "Is the object {point} of the image a {a} or a {b}?", {"point", "a", "b"}},
      {"ground", "What is the location of {phrase} in the image?", {"phrase"}},
      {"ground_many", "What are the locations of {phrases}?", {"phrases"}},
      {"exists", "Is there a {name} in the image?", {"name"}},
      {"count", "How many objects of the kind {name} are in the image?", {"name"}},
      {"relation",
       "Is the {first} {one} or {other} the {second}?",
       {"first", "one", "other", "second"}},
      {"caption", "Describe the image.", {}},
  };
  return kAll;
}

// The names between braces. Error (input) for a brace without its other half.
std::vector<std::string> slots_of(std::string_view wording, const std::string& where) {
  std::vector<std::string> slots;
  for (size_t at = 0; (at = wording.find_first_of("{}", at)) != std::string_view::npos;) {
    const size_t close = wording.find_first_of("{}", at + 1);
    if (wording[at] == '}' || close == std::string_view::npos || wording[close] == '{') {
      throw Error::input("a brace of a template has no other half", where,
                         "write slots as in \"" + built_in().front().text + "\"");
    }
    slots.emplace_back(wording.substr(at + 1, close - at - 1));
    at = close + 1;
  }
  return slots;
}

std::string in_braces(const std::vector<std::string>& slots) {
  std::string list;
  for (const std::string& slot : slots) list += (list.empty() ? "{" : ", {") + slot + "}";
  return list.empty() ? "none" : list;
}

void check_wording(const std::string& wording, const Wording& known, const std::string& where) {
  const std::vector<std::string> slots = slots_of(wording, where);
  for (const std::string& slot : slots) {
    if (std::ranges::find(known.slots, slot) != known.slots.end()) continue;
    throw Error::input("unknown slot {" + slot + "} in a template of '" + known.task + "'", where,
                       "its slots are: " + in_braces(known.slots));
  }
  for (const std::string& slot : known.slots) {
    if (std::ranges::find(slots, slot) != slots.end()) continue;
    throw Error::input("a template of '" + known.task + "' has no {" + slot + "}", where,
                       "its slots are: " + in_braces(known.slots));
  }
  if (holds_marks(wording)) {
    throw Error::input("a template of '" + known.task + "' holds a mark of a trainer", where,
                       "leave out <image>, <box0> and their like");
  }
}

}  // namespace

const std::vector<std::string>& dialogue_tasks() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const Wording& wording : built_in()) names.push_back(wording.task);
    return names;
  }();
  return kNames;
}

Templates::Templates() {
  for (const Wording& wording : built_in()) wordings_[wording.task] = {wording.text};
}

Templates::Templates(const std::filesystem::path& file) : Templates() {
  const Json root = read_json(file);
  const std::string form = "write {\"exists\": [\"Is there a {name} in the image?\"]}";
  if (!root.is_object()) throw Error::input("templates are no JSON object", file.string(), form);
  for (const auto& [task, list] : root.items()) {
    const auto known = std::ranges::find(built_in(), task, &Wording::task);
    if (known == built_in().end()) {
      std::string names;
      for (const std::string& name : dialogue_tasks()) names += (names.empty() ? "" : ", ") + name;
      throw Error::input("unknown template '" + task + "'", file.string(), "use one of " + names);
    }
    const bool texts = list.is_array() && !list.empty() &&
                       std::ranges::all_of(list, [](const Json& one) { return one.is_string(); });
    if (!texts) {
      throw Error::input("the templates of '" + task + "' are no list of texts", file.string(),
                         form);
    }
    wordings_[task] = list.get<std::vector<std::string>>();
    for (const std::string& wording : wordings_[task])
      check_wording(wording, *known, file.string() + ", \"" + wording + "\"");
  }
}

const std::vector<std::string>& Templates::wordings(std::string_view task) const {
  return wordings_.find(task)->second;
}

std::string fill_slots(std::string_view wording, const std::map<std::string, std::string>& values) {
  std::string result;
  for (size_t at = 0; at < wording.size(); ++at) {
    const size_t close = wording[at] == '{' ? wording.find('}', at) : std::string_view::npos;
    if (close != std::string_view::npos) {
      const auto value = values.find(std::string(wording.substr(at + 1, close - at - 1)));
      if (value != values.end()) {
        result += value->second;
        at = close;
        continue;
      }
    }
    result += wording[at];
  }
  return result;
}

}  // namespace opencloc
