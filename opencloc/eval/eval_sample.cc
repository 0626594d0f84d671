#include "opencloc/eval/eval_sample.h"

#include <utility>

namespace opencloc {
namespace {

Json or_null(const std::optional<std::string>& text) { return text ? Json(*text) : Json(); }
std::optional<std::string> text_or_nothing(const Json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<std::string>());
}

Json of_box(const Box& box) { return {box.x0, box.y0, box.x1, box.y1}; }
Box to_box(const Json& value) {
  return {value[0].get<float>(), value[1].get<float>(), value[2].get<float>(),
          value[3].get<float>()};
}

Json of_region(const EvalRegion& region) {
  Json any = Json::array();
  for (const Box& box : region.any_boxes) any.push_back(of_box(box));
  return {region.text,
          region.held_out,
          of_box(region.canvas_box),
          region.area,
          region.frequency,
          region.negatives,
          region.kind,
          any};
}

EvalRegion to_region(const Json& value) {
  EvalRegion region;
  region.text = value[0].get<std::string>();
  region.held_out = value[1].get<bool>();
  region.canvas_box = to_box(value[2]);
  region.area = value[3].get<double>();
  region.frequency = value[4].get<std::string>();
  region.negatives = value[5].get<std::vector<std::string>>();
  region.kind = value[6].get<std::string>();
  for (const Json& box : value[7]) region.any_boxes.push_back(to_box(box));
  return region;
}

std::string text_at(const Json& keys, const char* key) {
  const auto found = keys.find(key);
  return found != keys.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

std::vector<std::string> negatives_of(const Json& keys) {
  std::vector<std::string> negatives;
  const auto found = keys.find("negatives");
  if (found == keys.end()) return negatives;
  const Json list = found->is_array() ? *found : Json::array({*found});
  for (const Json& text : list) {
    if (text.is_string() && !text.get<std::string>().empty()) negatives.push_back(text);
  }
  return negatives;
}

std::vector<EvalChoice> choices_of(const Record& record) {
  std::vector<EvalChoice> choices;
  const auto add = [&](std::string text, const Json& keys) {
    EvalChoice choice{std::move(text), negatives_of(keys), text_at(keys, "kind")};
    if (!choice.text.empty() && !choice.negatives.empty()) choices.push_back(std::move(choice));
  };
  add(std::string(image_text(record)), record.extra);
  const auto listed = record.extra.find("choices");
  if (listed == record.extra.end() || !listed->is_array()) return choices;
  for (const Json& keys : *listed) {
    if (keys.is_object()) add(text_at(keys, "text"), keys);
  }
  return choices;
}

std::string packed(const std::vector<EvalSample>& samples) {
  Json list = Json::array();
  for (const auto& sample : samples) {
    Json regions = Json::array(), choices = Json::array();
    for (const auto& region : sample.regions) regions.push_back(of_region(region));
    for (const auto& choice : sample.choices)
      choices.push_back({choice.text, choice.negatives, choice.kind});
    list.push_back({sample.captions, or_null(sample.label), or_null(sample.group),
                    or_null(sample.value), or_null(sample.pair), regions, choices});
  }
  std::string bytes;
  Json::to_cbor(list, bytes);
  return bytes;
}

std::vector<EvalSample> unpacked(const std::string& bytes) {
  std::vector<EvalSample> samples;
  for (const Json& one : Json::from_cbor(bytes)) {
    EvalSample& sample = samples.emplace_back();
    sample.captions = one[0].get<std::vector<std::string>>();
    sample.label = text_or_nothing(one[1]);
    sample.group = text_or_nothing(one[2]);
    sample.value = text_or_nothing(one[3]);
    sample.pair = text_or_nothing(one[4]);
    for (const Json& region : one[5]) sample.regions.push_back(to_region(region));
    for (const Json& choice : one[6])
      sample.choices.push_back({choice[0].get<std::string>(),
                                choice[1].get<std::vector<std::string>>(),
                                choice[2].get<std::string>()});
  }
  return samples;
}

}  // namespace opencloc
