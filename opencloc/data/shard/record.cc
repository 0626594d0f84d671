#include "opencloc/data/shard/record.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "opencloc/base/decimal.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/shard/grit.h"

namespace opencloc {
namespace {

// A text; a number as it is written; empty for null and for Python's NaN, which an empty cell of a
// table becomes. All else is a problem of the record.
std::string text_of_json(const Json& value, const char* key, Record& record) {
  if (value.is_number_integer()) return dump_json(value);
  if (value.is_number()) return std::isfinite(value.get<double>()) ? dump_json(value) : "";
  if (value.is_null()) return {};
  if (!value.is_string()) {
    record.problems.push_back({skip::kBadText, std::string("'") + key + "' is not a string"});
    return {};
  }
  std::string text = value.get<std::string>();
  if (!has_bad_mark(text)) return text;
  record.problems.push_back({skip::kNotUtf8, std::string("'") + key + "'"});
  return {};
}

// One caption or a list of them: the first is the record's caption, and several are its captions.
void take_captions(const Json& value, const char* key, Record& record) {
  std::vector<std::string> texts;
  if (value.is_array()) {
    for (const auto& item : value) texts.push_back(text_of_json(item, key, record));
  } else {
    texts.push_back(text_of_json(value, key, record));
  }
  std::erase(texts, "");
  if (texts.empty()) return;
  if (record.caption.empty()) record.caption = texts.front();
  if (texts.size() > 1) {
    record.captions.insert(record.captions.end(), texts.begin(), texts.end());
  }
}

// What is wrong with a box; no reason when nothing is.
RecordProblem parse_box(const Json& value, Box& box) {
  if (!value.is_array() || value.size() != 4 ||
      !std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_number(); })) {
    return {skip::kBadBox, "'box' is not [x0, y0, x1, y1]"};
  }
  const Box read{value[0].get<float>(), value[1].get<float>(), value[2].get<float>(),
                 value[3].get<float>()};
  if (!read.finite()) return {skip::kBadBox, "'box' is not finite"};
  box = clip_to_unit(read);
  if (box.area() > 0) return {};
  return {skip::kEmptyBox, "no part of " + dump_json(value) + " lies in the image"};
}

// Adds a region, or says what is wrong with it.
void parse_region(const Json& value, Record& record) {
  if (!value.is_object()) {
    record.problems.push_back({skip::kBadJson, "a region is not an object"});
    return;
  }
  Region region;
  RecordProblem problem{skip::kBadBox, "a region has no 'box'"};
  for (const auto& [key, item] : value.items()) {
    if (key == "box") {
      problem = parse_box(item, region.box);
    } else if (key == "text") {
      region.text = text_of_json(item, "text", record);
    } else if (key == "score" && item.is_number() && std::isfinite(item.get<double>())) {
      region.score = item.get<float>();
    } else if (key == "source" && item.is_string()) {
      region.source = item.get<std::string>();
    } else {
      region.extra[key] = item;
    }
  }
  if (problem.reason.empty()) {
    record.regions.push_back(std::move(region));
  } else {
    record.problems.push_back(std::move(problem));
  }
}

Json region_json(const Region& region) {
  Json result = Json::object();
  result["box"] = {shortest_decimal(region.box.x0), shortest_decimal(region.box.y0),
                   shortest_decimal(region.box.x1), shortest_decimal(region.box.y1)};
  result["text"] = region.text;
  if (!region.extra.contains("score")) result["score"] = shortest_decimal(region.score);
  if (!region.source.empty()) result["source"] = region.source;
  result.update(region.extra);
  return result;
}

Json parse_object(std::string_view text, std::string_view where) {
  Json root;
  try {
    std::string decoded = decode_text(std::string(text));
    if (find_bad_utf8(decoded) != std::string::npos) decoded = mark_bad_utf8(decoded);
    root = parse_json(decoded, where);
  } catch (const Error& e) {  // a broken KEY.json costs its sample, not the run
    throw BadSample(skip::kBadJson, e.what(), where);
  }
  if (!root.is_object()) throw BadSample(skip::kBadJson, "not an object", where);
  return root;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

}  // namespace

std::string_view image_text(const Record& record) {
  if (!record.caption.empty()) return record.caption;
  for (const auto& caption : record.captions) {
    if (!caption.empty()) return caption;
  }
  return record.alt_text;
}

BadSample::BadSample(std::string_view reason, std::string_view detail, std::string_view where)
    : Error(ErrorKind::kInput,
            std::string(reason) + (detail.empty() ? "" : " (" + std::string(detail) + ")"), where),
      reason_(reason) {}

void parse_record_json(std::string_view text, std::string_view where, Record& record) {
  const Json root = parse_object(text, where);
  for (const auto& [key, value] : root.items()) {
    if (key == "caption") {
      take_captions(value, "caption", record);
    } else if (key == "captions" && value.is_array()) {
      for (const auto& item : value) {
        std::string caption = text_of_json(item, "captions", record);
        if (!caption.empty() || item.is_string()) record.captions.push_back(std::move(caption));
      }
    } else if (key == "alt_text") {
      std::string alt_text = text_of_json(value, "alt_text", record);
      if (record.alt_text.empty()) record.alt_text = std::move(alt_text);
    } else if (key == "label" && value.is_string()) {
      std::string label = text_of_json(value, "label", record);
      if (!label.empty() || value == "") record.label = std::move(label);
    } else if (key == "regions" && !value.is_null()) {
      if (!value.is_array()) {
        record.problems.push_back({skip::kBadJson, "'regions' is not a list"});
        continue;
      }
      for (const auto& item : value) parse_region(item, record);
    } else {
      record.extra[key] = value;
    }
  }
  if (!root.contains("regions")) add_grit_regions(record);
}

void set_alt_text(std::string bytes, Record& record) {
  std::string text = decode_text(std::move(bytes));
  if (const size_t bad = find_bad_utf8(text); bad != std::string::npos) {
    record.problems.push_back({skip::kNotUtf8, "KEY.txt, " + place_in_text(text, bad)});
    return;
  }
  const size_t last = text.find_last_not_of(" \t\r\n");
  text.resize(last == std::string::npos ? 0 : last + 1);
  record.alt_text = std::move(text);
}

Json record_json(const Record& record) {
  Json result = Json::object();
  if (!record.caption.empty()) result["caption"] = record.caption;
  if (!record.captions.empty()) result["captions"] = record.captions;
  if (!record.alt_text.empty()) result["alt_text"] = record.alt_text;
  if (record.label) result["label"] = *record.label;
  if (!record.regions.empty()) {
    Json& regions = result["regions"] = Json::array();
    for (const auto& region : record.regions) regions.push_back(region_json(region));
  }
  result.update(record.extra);
  return result;
}

bool is_picture_extension(std::string_view extension) {
  static constexpr std::array<std::string_view, 13> kKnown = {
      "jpg", "jpeg", "jpe", "jfif", "pjpeg", "png", "webp",
      "gif", "bmp",  "tif", "tiff", "ppm",   "pgm"};
  return std::find(kKnown.begin(), kKnown.end(), extension) != kKnown.end();
}

std::string safe_key(std::string_view name) {
  std::string key;
  while (!name.empty()) {
    const size_t slash = name.find('/');
    const std::string_view part = name.substr(0, slash);
    name.remove_prefix(slash == std::string_view::npos ? name.size() : slash + 1);
    if (part.empty() || part == "." || part == "..") continue;
    if (!key.empty()) key += '/';
    key += part;
  }
  const size_t slash = key.rfind('/');
  const size_t base = slash == std::string::npos ? 0 : slash + 1;
  std::replace(key.begin() + static_cast<std::ptrdiff_t>(base), key.end(), '.', '_');
  std::replace_if(key.begin(), key.end(), is_control, '_');
  return key.empty() ? "_" : key;
}

bool split_member_name(std::string_view name, std::string& key, std::string& extension) {
  const size_t slash = name.rfind('/');
  const size_t base = slash == std::string_view::npos ? 0 : slash + 1;
  const size_t dot = name.find('.', base);
  if (dot == std::string_view::npos || dot == base || dot + 1 == name.size()) return false;
  key = safe_key(name.substr(0, dot));
  extension = name.substr(dot + 1);
  std::replace_if(extension.begin(), extension.end(), is_control, '_');
  std::transform(extension.begin(), extension.end(), extension.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return true;
}

}  // namespace opencloc
