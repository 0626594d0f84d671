#include "opencloc/data/import/annotations.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "opencloc/base/error.h"
#include "opencloc/base/json_stream.h"
#include "opencloc/base/log.h"
#include "opencloc/base/text_file.h"

namespace opencloc {

std::string read_annotation_text(const std::filesystem::path& path) {
  std::string text = read_text(path);
  const size_t bad = find_bad_utf8(text);
  if (bad == std::string::npos) return text;
  log::warn("{}: text is not UTF-8 ({}); values that hold such bytes are left out", path.string(),
            place_in_text(text, bad));
  return mark_bad_utf8(text);
}

Json read_annotations(const std::filesystem::path& path,
                      std::initializer_list<std::string_view> leave_out) {
  return parse_json_without(read_annotation_text(path), path.string(), leave_out);
}

void for_each_line(
    const std::filesystem::path& path, SkipCounter& skips,
    const std::function<void(std::string_view line, const std::string& where)>& visit) {
  const std::string text = read_text(path);
  for_each_text_line(text, [&](std::string_view line, int64_t number) {
    if (trimmed(line).empty()) return;
    const std::string where = path.string() + ":" + std::to_string(number);
    if (const size_t bad = find_bad_utf8(line); bad != std::string_view::npos) {
      skips.add(skip::kNotUtf8, where, place_in_text(line, bad).substr(0, 9));
    } else {
      visit(line, where);
    }
  });
}

bool box_from_corners(const Json& value, Box& box) {
  if (!value.is_array() || value.size() != 4 ||
      !std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_number(); })) {
    return false;
  }
  box = {value[0].get<float>(), value[1].get<float>(), value[2].get<float>(),
         value[3].get<float>()};
  return box.finite();
}

bool box_from_xywh(const Json& value, Box& box) {
  if (!box_from_corners(value, box)) return false;
  box.x1 += box.x0;
  box.y1 += box.y0;
  return box.finite();
}

std::string json_id(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (!std::isfinite(number)) return {};
    if (number == std::floor(number) && std::abs(number) < 9e15) {
      return std::to_string(static_cast<int64_t>(number));
    }
  }
  return value.is_number() ? dump_json(value) : std::string();
}

std::optional<double> json_loose_number(const Json& value) {
  if (value.is_string()) return parse_number(value.get_ref<const std::string&>());
  if (!value.is_number()) return std::nullopt;
  const auto number = value.get<double>();
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

const Json& json_value(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

std::string json_text(const Json& value) {
  if (value.is_string()) return std::string(trimmed(value.get_ref<const std::string&>()));
  return value.is_number() ? json_id(value) : std::string();
}

bool json_truth(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  if (!value.is_string()) return false;
  const std::string text = value.get<std::string>();
  return text == "1" || text == "1.0" || text == "true" || text == "True" || text == "TRUE";
}

void require_annotations(const std::filesystem::path& path, std::string_view what) {
  std::error_code ec;
  if (!path.empty() && std::filesystem::exists(path, ec)) return;
  throw Error::input(path.empty() ? "annotations are missing" : "no such annotations",
                     path.empty() ? "setting 'annotations'" : path.string(),
                     "name " + std::string(what));
}

}  // namespace opencloc
