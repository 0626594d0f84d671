#include "opencloc/data/import/rows.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/import/annotations.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kNoBox = "phrase without a box";
constexpr std::string_view kRepeated = "region said before";
constexpr std::string_view kNumberForName = "class is a number, without its name";
constexpr std::string_view kSecondLabel = "second label of a picture";
constexpr std::string_view kSaysNothing = "row without text, label or region";

constexpr std::array kCaptionKeys = {"caption", "captions", "title", "text", "comment"};
// Texts of a region, which are the picture's where the row has no region.
constexpr std::array kSentenceKeys = {"sentence", "sentences", "sent"};
constexpr std::array kPhraseKeys = {"phrase",   "expression", "expressions", "normal_caption",
                                    "sentence", "sentences",  "sent",        "pos_expression"};
constexpr std::array kRegionTextKeys = {"text",  "phrase",   "caption",    "label", "name",
                                        "class", "category", "categories", "labels"};
constexpr std::array kBoxKeys = {"box", "bbox", "bbox_xyxy", "solution"};
constexpr std::array kLabelKeys = {"label", "class"};

template <size_t N>
const char* first_key(const Json& row, const std::array<const char*, N>& keys) {
  for (const char* key : keys) {
    if (row.contains(key)) return key;
  }
  return nullptr;
}

// "a", 1984, ["a", "b"], REFER's [{"sent": "a"}] or Karpathy's [{"raw": "a"}]. What is none of
// these sets `odd`.
std::vector<std::string> texts_of(const Json& value, bool& odd) {
  std::vector<std::string> texts;
  const auto add = [&](const Json& item) {
    if (item.is_string()) {
      texts.push_back(item.get<std::string>());
    } else if (item.is_object()) {
      for (const char* key : {"raw", "sent", "caption", "text", "sentence"}) {
        if (!json_value(item, key).is_string()) continue;
        texts.push_back(item[key].get<std::string>());
        return;
      }
      odd = true;
    } else if (!json_id(item).empty()) {
      texts.push_back(json_id(item));
    } else if (!item.is_null() && !item.is_number()) {  // Python's NaN is an empty cell
      odd = true;
    }
  };
  if (value.is_array()) {
    for (const auto& item : value) add(item);
  } else {
    add(value);
  }
  for (const auto& text : texts) odd = odd || has_bad_mark(text);
  std::erase_if(texts,
                [](const auto& text) { return trimmed(text).empty() || has_bad_mark(text); });
  return texts;
}

bool parse_box(const std::string& key, const Json& value, ImportRegion& region) {
  region.in_unit = key == "box";
  return key == "bbox" ? box_from_xywh(value, region.region.box)
                       : box_from_corners(value, region.region.box);
}

// A row's own columns xmin, ymin, xmax, ymax (TensorFlow's tables) as one list; null without them.
Json corners_of(const Json& row) {
  Json corners = Json::array();
  for (const char* key : {"xmin", "ymin", "xmax", "ymax"}) {
    if (!row.contains(key)) return nullptr;
    const auto number = json_loose_number(row[key]);
    corners.push_back(number ? Json(*number) : Json());
  }
  return corners;
}

// A table holds lists as text.
Json unquoted(const Json& value) {
  if (!value.is_string()) return value;
  const std::string text = value.get<std::string>();
  if (!text.starts_with('[') && !text.starts_with('{')) return value;
  try {
    return parse_json(text, "");
  } catch (const Error&) {
    return value;  // a text that begins with a bracket
  }
}

// Hugging Face's {"bbox": [[...], ...], "categories": [...]}: lists side by side -> a list of
// regions. Null when the lists are not equally long.
Json rows_of_columns(const Json& columns) {
  const char* box_key = first_key(columns, kBoxKeys);
  if (box_key == nullptr || !columns[box_key].is_array()) return nullptr;
  const size_t count = columns[box_key].size();
  Json rows = Json::array();
  for (size_t i = 0; i < count; ++i) {
    Json row = Json::object();
    for (const auto& [key, value] : columns.items()) {
      if (!value.is_array()) continue;
      if (value.size() != count) return nullptr;
      row[key] = value[i];
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

void add_region_list(const Json& given, const std::string& where, ImportItem& item,
                     SkipCounter& skips) {
  const Json list = given.is_object() ? rows_of_columns(given) : given;
  if (!list.is_array()) {
    skips.add(skip::kBadAnnotation, where,
              given.is_object() ? "regions are neither a list nor lists of one length"
                                : "regions are not a list");
    return;
  }
  for (const auto& entry : list) {
    const char* box_key = entry.is_object() ? first_key(entry, kBoxKeys) : nullptr;
    ImportRegion region;
    region.region.source = "human";
    if (box_key == nullptr || !parse_box(box_key, entry[box_key], region)) {
      skips.add(skip::kBadBox, where, "a region has no box");
      continue;
    }
    const char* text_key = first_key(entry, kRegionTextKeys);
    for (const auto& [key, value] : entry.items()) {
      if (key == box_key) continue;
      if (text_key != nullptr && key == text_key && !json_id(value).empty()) {
        region.region.text = json_id(value);
        if (!value.is_string()) skips.note(kNumberForName, where, region.region.text);
      } else if (key == "score" && value.is_number()) {
        region.region.score = value.get<float>();
      } else if (key == "source" && value.is_string()) {
        region.region.source = value.get<std::string>();
      } else {
        region.region.extra[key] = value;
      }
    }
    if (has_bad_mark(region.region.text)) {
      skips.add(skip::kNotUtf8, where, "the text of a region");
      continue;
    }
    item.regions.push_back(std::move(region));
  }
}

// Texts that are wrong for the region, for evaluation: kept in extra["negatives"].
void add_negatives(const Json& value, Json& extra) {
  bool odd = false;
  for (auto& text : texts_of(value, odd)) {
    Json& list = extra["negatives"];
    if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(std::move(text));
  }
}

// A row that is itself a region: one region for each of its expressions.
void add_row_region(const Json& row, const std::string& box_key, const Json& box,
                    const std::vector<std::string>& texts, bool every_sentence,
                    const std::string& where, ImportItem& item, SkipCounter& skips) {
  if (texts.empty()) {
    skips.add(skip::kNoText, where, "the region has no text");
    return;
  }
  if (box.is_null()) {
    skips.add(kNoBox, where, "'" + texts.front() + "'");
    return;
  }
  for (const auto& text : texts) {
    ImportRegion region;
    if (!parse_box(box_key, box, region)) {
      skips.add(skip::kBadBox, where, dump_json(box));
      return;
    }
    region.region.text = text;
    region.region.source =
        row.contains("source") && row["source"].is_string() ? row["source"] : "human";
    const auto same =
        std::find_if(item.regions.begin(), item.regions.end(), [&](const ImportRegion& other) {
          return !every_sentence && other.in_unit == region.in_unit &&
                 other.region.box == region.region.box && other.region.text == region.region.text;
        });
    if (same != item.regions.end()) skips.add(kRepeated, where, "'" + text + "'");
    ImportRegion& target = same != item.regions.end() ? *same : item.regions.emplace_back(region);
    for (const char* key : {"negatives", "neg_expression"}) {
      if (row.contains(key)) add_negatives(row[key], target.region.extra);
    }
  }
}

std::string keys_of(const Json& row) {
  std::string keys;
  for (const auto& [key, value] : row.items()) keys += (keys.empty() ? "" : ", ") + key;
  return keys;
}

bool is_known(const std::string& key) {
  static constexpr std::array kOther = {"regions", "objects", "alt_text",       "image_id",
                                        "width",   "height",  "neg_expression", "negatives",
                                        "xmin",    "ymin",    "xmax",           "ymax"};
  const auto in = [&key](const auto& keys) {
    return std::any_of(keys.begin(), keys.end(), [&](const char* k) { return key == k; });
  };
  return is_picture_key(key) || in(kCaptionKeys) || in(kPhraseKeys) || in(kBoxKeys) ||
         in(kLabelKeys) || in(kOther);
}

void add_label(const Json& row, const std::string& where, ImportItem& item, SkipCounter& skips) {
  const char* key = first_key(row, kLabelKeys);
  if (key == nullptr || row[key].is_null()) return;
  std::string label = json_text(row[key]);
  if (row[key].is_boolean()) label = dump_json(row[key]);
  if (has_bad_mark(label)) {
    skips.add(skip::kNotUtf8, where, "the label");
  } else if (label.empty()) {
    item.record.extra[key] = row[key];  // a list of labels, ...
  } else if (item.record.label && *item.record.label != label) {
    skips.add(kSecondLabel, where, "'" + label + "' after '" + *item.record.label + "'");
  } else {
    item.record.label = std::move(label);
  }
}

}  // namespace

bool is_text_key(std::string_view key) {
  return std::any_of(kCaptionKeys.begin(), kCaptionKeys.end(),
                     [&](const char* k) { return key == k; });
}

void merge_row(const Json& row, const RowNames& names, const std::string& where, ImportItem& item,
               SkipCounter& skips) {
  const auto number = [&row](const char* key) {
    return json_loose_number(json_value(row, key)).value_or(0);
  };
  if (item.width <= 0) item.width = number("width");
  if (item.height <= 0) item.height = number("height");
  bool odd = false;
  std::vector<std::string> captions;
  if (row.contains(names.caption)) captions = texts_of(unquoted(row[names.caption]), odd);
  for (const char* key : kCaptionKeys) {
    if (captions.empty() && row.contains(key)) captions = texts_of(unquoted(row[key]), odd);
  }
  const char* box_key = first_key(row, kBoxKeys);
  const char* phrase_key = first_key(row, kPhraseKeys);
  Json box = box_key == nullptr ? Json() : unquoted(row[box_key]);
  if (box_key == nullptr) {
    box = corners_of(row);
    if (!box.is_null()) box_key = "bbox_xyxy";
  }
  const bool sentences = phrase_key != nullptr && box_key == nullptr && !row.contains("ann_id") &&
                         std::any_of(kSentenceKeys.begin(), kSentenceKeys.end(),
                                     [&](std::string_view key) { return key == phrase_key; });
  if (sentences) {
    for (auto& text : texts_of(unquoted(row[phrase_key]), odd)) captions.push_back(text);
    phrase_key = nullptr;
  }
  if (odd) skips.add(skip::kBadText, where, "a text is neither a string nor a list of them");
  if (box_key != nullptr || phrase_key != nullptr) {
    auto texts = phrase_key == nullptr ? captions : texts_of(unquoted(row[phrase_key]), odd);
    const char* label_key = first_key(row, kLabelKeys);
    if (texts.empty() && label_key != nullptr && !json_text(row[label_key]).empty()) {
      texts.push_back(class_text(json_text(row[label_key])));
    }
    add_row_region(row, box_key == nullptr ? "" : box_key, box, texts, names.every_sentence, where,
                   item, skips);
    return;
  }
  const auto said = [&item] {
    const Record& record = item.record;
    return record.captions.size() + (record.caption.empty() ? 0 : 1) + item.regions.size() +
           (record.alt_text.empty() ? 0 : 1) + (record.label ? 1 : 0);
  };
  const size_t before = said();
  const bool had_captions = !captions.empty();
  Json wrong = Json::object();
  for (const char* key : {"negatives", "neg_expression"}) {
    if (row.contains(key)) add_negatives(row[key], wrong);
  }
  if (had_captions && !wrong.empty())
    add_choice(item.record, captions.front(), wrong["negatives"],
               json_text(json_value(row, "kind")));
  for (auto& caption : captions) add_caption(item.record, std::move(caption));
  if (const Json& alt = json_value(row, "alt_text"); alt.is_string()) {
    if (!has_bad_mark(alt.get<std::string>())) item.record.alt_text = alt.get<std::string>();
  }
  add_label(row, where, item, skips);
  bool regions_said = false;
  for (const char* key : {"regions", "objects"}) {
    if (row.contains(key) && !row[key].is_null()) {
      regions_said = true;
      add_region_list(unquoted(row[key]), where, item, skips);
    }
  }
  if (said() == before && !had_captions && !regions_said && !odd && !item.record.label) {
    skips.note(kSaysNothing, where, "keys: " + keys_of(row));
  }
  for (const auto& [key, value] : row.items()) {
    if (!is_known(key) && key != names.image && key != names.caption) {
      item.record.extra[key] = value;
    }
  }
}

}  // namespace opencloc
