#include "opencloc/checkpoint/wrapped_names.h"

#include <set>
#include <string>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

// What stands before `anchor` in the names that end with it.
std::set<std::string> wrappers_of(const StoredTensors& weights, std::string_view anchor) {
  std::set<std::string> wrappers;
  for (const auto& tensor : weights.tensors()) {
    const std::string& name = tensor.name;
    if (!name.ends_with(anchor)) continue;
    std::string before = name.substr(0, name.size() - anchor.size());
    if (before.empty() || before.ends_with('.')) wrappers.insert(std::move(before));
  }
  return wrappers;
}

}  // namespace

bool has_wrapped(const StoredTensors& weights, std::initializer_list<std::string_view> anchors) {
  for (const auto anchor : anchors) {
    if (!wrappers_of(weights, anchor).empty()) return true;
  }
  return false;
}

StoredTensors without_wrappers(const StoredTensors& weights,
                               std::initializer_list<std::string_view> anchors) {
  for (const auto anchor : anchors) {
    const auto wrappers = wrappers_of(weights, anchor);
    if (wrappers.empty()) continue;
    if (wrappers.contains("")) return weights;
    if (wrappers.size() > 1) {
      std::string all;
      for (const auto& wrapper : wrappers) all += (all.empty() ? "'" : ", '") + wrapper + "'";
      throw Error::input("holds several models, whose names begin with " + all, weights.path(),
                         "save the one that is meant");
    }
    const std::string& wrapper = *wrappers.begin();
    return weights.renamed([&](const std::string& name) {
      return name.starts_with(wrapper) ? name.substr(wrapper.size()) : name;
    });
  }
  return weights;
}

}  // namespace opencloc
