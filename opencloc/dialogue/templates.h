// The wordings of questions. The built-in ones are those of the public evaluations: LVIS referring,
// RefCOCO and Flickr30k Entities as Ferret asks them, POPE.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

// "refer", "name", "point", "ground", "ground_many", "exists", "count", "relation", "caption".
const std::vector<std::string>& dialogue_tasks();

class Templates {
 public:
  Templates();  // the built-in ones, one a task
  // A JSON object {"task": ["wording", ...], ...}: these tasks get these wordings. Error (input)
  // that names the file, for an unknown task, an unknown slot, or a wording without a slot that its
  // question needs.
  explicit Templates(const std::filesystem::path& file);

  // At least one.
  const std::vector<std::string>& wordings(std::string_view task) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> wordings_;
};

// "{a} or {b}" with {{"a", "fox"}, {"b", "bat"}} -> "fox or bat". Slots without a value stay.
std::string fill_slots(std::string_view wording, const std::map<std::string, std::string>& values);

}  // namespace opencloc
