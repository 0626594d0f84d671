// Names of tasks, as on the command line and in results.
#include <array>
#include <string>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/eval/evaluate.h"

namespace opencloc {
namespace {

constexpr std::array<std::pair<Task, const char*>, 10> kTasks{{
    {Task::kZeroshot, "zeroshot"},
    {Task::kRetrieval, "retrieval"},
    {Task::kRegionRecognition, "region_recognition"},
    {Task::kRegionRetrieval, "region_retrieval"},
    {Task::kGrounding, "grounding"},
    {Task::kChoice, "choice"},
    {Task::kObjectRetrieval, "object_retrieval"},
    {Task::kInstanceRetrieval, "instance_retrieval"},
    {Task::kKnn, "knn"},
    {Task::kLinearProbe, "linear_probe"},
}};

}  // namespace

const char* to_string(Task task) {
  for (const auto& [known, name] : kTasks) {
    if (known == task) return name;
  }
  return "unknown";
}

Task parse_task(std::string_view name) {
  std::string known;
  for (const auto& [task, its_name] : kTasks) {
    if (name == its_name) return task;
    known += (known.empty() ? "" : ", ") + std::string(its_name);
  }
  throw Error::input("unknown task \"" + std::string(name) + "\"", {}, "known are " + known);
}

}  // namespace opencloc
