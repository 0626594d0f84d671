#include "opencloc/checkpoint/layout/wrapped_names.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

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

// The tensors whose names begin with `wrapper`, without it. What lies outside is the training
// code's (a loss, metrics), but for the scale, which some keep there.
StoredTensors within(const StoredTensors& weights, const std::string& wrapper) {
  std::vector<StoredTensor> inside;
  std::string outside;
  for (StoredTensor tensor : weights.tensors()) {
    if (tensor.name.starts_with(wrapper)) {
      tensor.name.erase(0, wrapper.size());
    } else if (tensor.name != "logit_scale" && tensor.name != "logit_bias") {
      outside += (outside.empty() ? "" : ", ") + tensor.name;
      continue;
    }
    inside.push_back(std::move(tensor));
  }
  StoredTensors taken(weights.path(), std::move(inside));
  std::string note = weights.note();
  if (!outside.empty()) {
    constexpr size_t kShown = 120;
    if (outside.size() > kShown) outside = outside.substr(0, kShown) + "...";
    note +=
        (note.empty() ? "" : "; ") + ("tensors outside '" + wrapper) + "' are left out: " + outside;
  }
  taken.set_note(std::move(note));
  return taken;
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
    return within(weights, *wrappers.begin());
  }
  return weights;
}

}  // namespace opencloc
