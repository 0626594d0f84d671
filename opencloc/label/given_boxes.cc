#include "opencloc/label/given_boxes.h"

#include <algorithm>
#include <string_view>

#include "opencloc/data/import/annotations.h"

namespace opencloc {
namespace {

constexpr std::string_view kTwoNames = "two pictures of the boxes fit the sample";

std::string base_of_key(const std::string& key) { return key.substr(key.rfind('/') + 1); }

// 000000000139 and COCO_val2014_000000000139 -> "139"; empty when it is no number.
std::string number_of(const std::string& key) {
  std::string part = base_of_key(key);
  if (part.starts_with("COCO_")) part = part.substr(part.rfind('_') + 1);
  if (part.empty() || part.find_first_not_of("0123456789") != std::string::npos) return {};
  part.erase(0, std::min(part.find_first_not_of('0'), part.size() - 1));
  return part;
}

}  // namespace

size_t GivenBoxes::source(const std::string& name) {
  const auto found = std::ranges::find(sources_, name);
  if (found != sources_.end()) return static_cast<size_t>(found - sources_.begin());
  sources_.push_back(name);
  return sources_.size() - 1;
}

std::vector<GivenPicture*> GivenBoxes::find(const LabelSample& sample, SkipCounter& skips) {
  const std::string& key = sample.record.key;
  std::vector<size_t> places;
  const auto take = [&](size_t place) {
    if (std::ranges::find(places, place) == places.end()) places.push_back(place);
  };
  if (const auto found = by_key_.find(key); found != by_key_.end()) take(found->second);
  // A name that is the key comes before one that ends with it.
  std::vector<size_t> longer, exact;
  const auto [from, to] = by_name_.equal_range(base_of_key(key));
  for (auto it = from; it != to; ++it) {
    const auto& [name, place] = it->second;
    if (name == key) exact.push_back(place);
    if (name != key && name.ends_with("/" + key)) longer.push_back(place);
  }
  const auto& fitting = exact.empty() ? longer : exact;
  if (std::ranges::any_of(fitting, [&](size_t p) { return p != fitting.front(); })) {
    skips.add(kTwoNames, sample.name,
              pictures_[fitting[0]].name + " and " + pictures_[fitting[1]].name);
    return {};
  }
  if (!fitting.empty()) take(fitting.front());
  const std::string own_id = json_id(json_value(sample.record.extra, "image_id"));
  const std::string id = own_id.empty() && places.empty() ? number_of(key) : own_id;
  if (const auto found = by_id_.find(id); !id.empty() && found != by_id_.end()) take(found->second);
  std::vector<GivenPicture*> result;
  for (const size_t place : places) {
    GivenPicture& picture = pictures_[place];
    if (picture.taken_by.empty()) picture.taken_by = sample.name;
    if (picture.taken_by != sample.name) {
      skips.note("the same picture of the boxes is two samples", picture.name,
                 picture.taken_by + " and " + sample.name);
    }
    result.push_back(&picture);
  }
  return result;
}

std::vector<std::string> GivenBoxes::not_taken() const {
  std::vector<std::string> names;
  for (const auto& picture : pictures_) {
    if (picture.taken_by.empty()) names.push_back(picture.name);
  }
  return names;
}

}  // namespace opencloc
