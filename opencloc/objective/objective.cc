#include "opencloc/objective/objective.h"

#include <torch/utils.h>

namespace opencloc {

torch::Tensor NamedRows::operator[](std::string_view name) const {
  for (auto& rows : rows_) {
    if (rows.name != name) continue;
    if (rows.parts.size() > 1) rows.parts = {torch::cat(rows.parts)};
    return rows.parts.front();
  }
  return {};
}

void NamedRows::append(const std::string& name, const torch::Tensor& more) {
  for (auto& rows : rows_) {
    if (rows.name != name) continue;
    rows.parts.push_back(more);
    return;
  }
  rows_.push_back({name, {more}});
}

std::vector<std::string> NamedRows::names() const {
  std::vector<std::string> names;
  for (const auto& rows : rows_) names.push_back(rows.name);
  return names;
}

}  // namespace opencloc
