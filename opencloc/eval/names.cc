// Names of tasks and methods, as on the command line and in results.
#include <array>
#include <string>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/eval/evaluate.h"

namespace opencloc {
namespace {

constexpr std::array<std::pair<Task, const char*>, 5> kTasks{{
    {Task::kZeroshot, "zeroshot"},
    {Task::kRetrieval, "retrieval"},
    {Task::kRegionRecognition, "region_recognition"},
    {Task::kRegionRetrieval, "region_retrieval"},
    {Task::kGrounding, "grounding"},
}};

constexpr std::array<std::pair<RegionMethod, const char*>, 4> kMethods{{
    {RegionMethod::kPrompter, "prompter"},
    {RegionMethod::kRoiAlign, "roi_align"},
    {RegionMethod::kCrop, "crop"},
    {RegionMethod::kRoiAlignPenultimate, "roi_align_penultimate"},
}};

template <typename Table, typename Value>
const char* name_of(const Table& table, Value value) {
  for (const auto& [known, name] : table) {
    if (known == value) return name;
  }
  return "unknown";
}

template <typename Table>
auto value_of(const Table& table, std::string_view name, const char* flag) {
  std::string known;
  for (const auto& [value, its_name] : table) {
    if (name == its_name) return value;
    known += (known.empty() ? "" : ", ") + std::string(its_name);
  }
  throw Error::input("unknown name \"" + std::string(name) + "\"", flag, "known are " + known);
}

}  // namespace

const char* to_string(Task task) { return name_of(kTasks, task); }
const char* to_string(RegionMethod method) { return name_of(kMethods, method); }
Task parse_task(std::string_view name) { return value_of(kTasks, name, "--tasks"); }
RegionMethod parse_region_method(std::string_view name) {
  return value_of(kMethods, name, "--region-method");
}

}  // namespace opencloc
