#include "opencloc/eval/classify.h"

#include <algorithm>
#include <unordered_map>

#include "opencloc/data/import/list.h"

namespace opencloc {
namespace {

std::vector<std::string> distinct_names(const std::vector<const std::string*>& names) {
  std::vector<std::string> distinct;
  for (const auto* name : names) {
    if (name != nullptr) distinct.push_back(class_text(*name));
  }
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  return distinct;
}

}  // namespace

ClassTargets class_targets(const std::vector<const std::string*>& names,
                           const std::vector<std::string>& classes,
                           const std::vector<std::string>& labels) {
  ClassTargets result;
  result.classes = classes.empty() ? distinct_names(names) : classes;
  for (auto& name : result.classes) name = class_text(name);
  std::unordered_map<std::string, int64_t> number_of;
  if (labels.empty()) {
    std::erase_if(result.classes, [&](const std::string& name) {
      return !number_of.emplace(name, static_cast<int64_t>(number_of.size())).second;
    });
  }
  for (size_t i = 0; i < labels.size(); ++i)
    number_of.emplace(class_text(labels[i]), static_cast<int64_t>(i));
  for (size_t i = 0; i < labels.size(); ++i)
    number_of.emplace(result.classes[i], static_cast<int64_t>(i));
  std::vector<int64_t> rows;
  std::vector<int64_t> targets;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == nullptr) continue;
    const auto found = number_of.find(class_text(*names[i]));
    if (found == number_of.end()) {
      ++result.left_out;
      continue;
    }
    rows.push_back(static_cast<int64_t>(i));
    targets.push_back(found->second);
  }
  result.rows = torch::tensor(rows, torch::kInt64);
  result.targets = torch::tensor(targets, torch::kInt64);
  return result;
}

}  // namespace opencloc
