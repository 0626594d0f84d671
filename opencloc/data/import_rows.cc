#include "opencloc/data/import_rows.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "opencloc/base/files.h"
#include "opencloc/data/import_annotations.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kNoBox = "phrase without a box";
constexpr std::string_view kRepeated = "region said before";

constexpr std::array kImageKeys = {"image",     "image_path", "img_path", "filepath", "file_path",
                                   "file_name", "filename",   "path",     "img"};
constexpr std::array kCaptionKeys = {"caption", "captions", "title", "text"};
constexpr std::array kPhraseKeys = {"phrase",   "expression", "expressions", "normal_caption",
                                    "sentence", "sentences",  "sent",        "pos_expression"};
constexpr std::array kRegionTextKeys = {"text", "phrase", "caption", "label", "name", "category"};
constexpr std::array kBoxKeys = {"box", "bbox", "bbox_xyxy", "solution"};
constexpr std::array kLabelKeys = {"label", "class"};

template <size_t N>
const char* first_key(const Json& row, const std::array<const char*, N>& keys) {
  for (const char* key : keys) {
    if (row.contains(key)) return key;
  }
  return nullptr;
}

// "a", ["a", "b"] or REFER's [{"sent": "a"}].
std::vector<std::string> texts_of(const Json& value) {
  std::vector<std::string> texts;
  if (value.is_string()) {
    texts.push_back(value.get<std::string>());
  } else if (value.is_array()) {
    for (const auto& item : value) {
      if (item.is_string()) texts.push_back(item.get<std::string>());
      if (item.is_object() && item.contains("sent") && item["sent"].is_string()) {
        texts.push_back(item["sent"].get<std::string>());
      }
    }
  }
  std::erase(texts, "");
  return texts;
}

bool parse_box(const std::string& key, const Json& value, ImportRegion& region) {
  region.in_unit = key == "box";
  return key == "bbox" ? box_from_xywh(value, region.region.box)
                       : box_from_corners(value, region.region.box);
}

// A table holds lists as text.
Json unquoted(const Json& value) {
  if (!value.is_string()) return value;
  const std::string text = value.get<std::string>();
  if (!text.starts_with('[') && !text.starts_with('{')) return value;
  Json parsed = Json::parse(text, nullptr, false);
  return parsed.is_discarded() ? value : parsed;
}

void add_region_list(const Json& list, const std::string& where, ImportItem& item,
                     SkipCounter& skips) {
  if (!list.is_array()) {
    skips.add(skip::kBadAnnotation, where, "regions are not a list");
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
      if (text_key != nullptr && key == text_key && value.is_string()) {
        region.region.text = value.get<std::string>();
      } else if (key == "score" && value.is_number()) {
        region.region.score = value.get<float>();
      } else if (key == "source" && value.is_string()) {
        region.region.source = value.get<std::string>();
      } else {
        region.region.extra[key] = value;
      }
    }
    item.regions.push_back(std::move(region));
  }
}

// Texts that are wrong for the region, for evaluation: kept in extra["negatives"].
void add_negatives(const Json& value, Json& extra) {
  for (auto& text : texts_of(value)) {
    Json& list = extra["negatives"];
    if (std::find(list.begin(), list.end(), text) == list.end()) list.push_back(std::move(text));
  }
}

// A row that is itself a region: one region for each of its expressions.
void add_row_region(const Json& row, const char* box_key, const std::vector<std::string>& texts,
                    const std::string& where, ImportItem& item, SkipCounter& skips) {
  if (texts.empty()) {
    skips.add(skip::kNoText, where, "the region has no text");
    return;
  }
  const Json box = box_key == nullptr ? Json() : unquoted(row[box_key]);
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
    const auto same = std::find_if(
        item.regions.begin(), item.regions.end(), [&region](const ImportRegion& other) {
          return other.in_unit == region.in_unit && other.region.box == region.region.box &&
                 other.region.text == region.region.text;
        });
    if (same != item.regions.end()) skips.add(kRepeated, where, "'" + text + "'");
    ImportRegion& target = same != item.regions.end() ? *same : item.regions.emplace_back(region);
    for (const char* key : {"negatives", "neg_expression"}) {
      if (row.contains(key)) add_negatives(row[key], target.region.extra);
    }
  }
}

bool is_known(const std::string& key) {
  static constexpr std::array kOther = {"regions", "objects", "alt_text",       "image_id",
                                        "width",   "height",  "neg_expression", "negatives"};
  const auto in = [&key](const auto& keys) {
    return std::any_of(keys.begin(), keys.end(), [&](const char* k) { return key == k; });
  };
  return in(kImageKeys) || in(kCaptionKeys) || in(kPhraseKeys) || in(kBoxKeys) || in(kLabelKeys) ||
         in(kOther);
}

}  // namespace

std::optional<fs::path> picture_of_row(const Json& row, const RowNames& names,
                                       const PictureFinder& pictures, const std::string& where,
                                       SkipCounter& skips) {
  if (!row.is_object()) {
    skips.add(skip::kBadAnnotation, where, "not an object");
    return std::nullopt;
  }
  std::string said;
  const auto by_name = [&](const char* key) -> std::optional<fs::path> {
    const auto it = row.find(key);
    if (it == row.end() || !it->is_string()) return std::nullopt;
    const std::string name = it->get<std::string>();
    if (said.empty()) said = name;
    if (auto path = pictures.find(name)) return path;
    const size_t hash = name.rfind('#');  // Flickr8k's "1000.jpg#0"
    return hash == std::string::npos ? std::nullopt : pictures.find(name.substr(0, hash));
  };
  if (!names.image.empty()) {
    if (auto path = by_name(names.image.c_str())) return path;
  }
  for (const char* key : kImageKeys) {
    if (auto path = by_name(key)) return path;
  }
  if (const auto id = row.find("image_id"); id != row.end()) {
    const auto number = id->is_number_integer() ? std::optional(id->get<int64_t>())
                        : id->is_string()       ? trailing_number(id->get<std::string>())
                                                : std::nullopt;
    if (said.empty()) said = dump_json(*id);
    if (number) {
      if (auto path = pictures.find_number(*number)) return path;
    }
  }
  if (said.empty()) {
    skips.add(skip::kBadAnnotation, where, "the row names no picture");
  } else {
    skips.add(skip::kMissingImage, said, where);
  }
  return std::nullopt;
}

void merge_row(const Json& row, const RowNames& names, const std::string& where, ImportItem& item,
               SkipCounter& skips) {
  const auto number = [&row](const char* key) {
    const auto it = row.find(key);
    return it != row.end() && it->is_number() ? it->get<double>() : 0.0;
  };
  if (item.width <= 0) item.width = number("width");
  if (item.height <= 0) item.height = number("height");
  const char* box_key = first_key(row, kBoxKeys);
  const char* phrase_key = first_key(row, kPhraseKeys);
  std::vector<std::string> captions;
  if (row.contains(names.caption)) captions = texts_of(row[names.caption]);
  for (const char* key : kCaptionKeys) {
    if (captions.empty() && row.contains(key)) captions = texts_of(unquoted(row[key]));
  }
  if (box_key != nullptr || phrase_key != nullptr) {
    const auto texts = phrase_key == nullptr ? captions : texts_of(unquoted(row[phrase_key]));
    add_row_region(row, box_key, texts, where, item, skips);
    return;
  }
  for (auto& caption : captions) add_caption(item.record, std::move(caption));
  if (const auto alt = row.find("alt_text"); alt != row.end() && alt->is_string()) {
    item.record.alt_text = alt->get<std::string>();
  }
  if (const char* key = first_key(row, kLabelKeys); key != nullptr && row[key].is_string()) {
    item.record.label = row[key].get<std::string>();
  }
  for (const char* key : {"regions", "objects"}) {
    if (row.contains(key) && !row[key].is_null()) {
      add_region_list(unquoted(row[key]), where, item, skips);
    }
  }
  for (const auto& [key, value] : row.items()) {
    if (!is_known(key) && key != names.image && key != names.caption) {
      item.record.extra[key] = value;
    }
  }
}

void for_each_row(const fs::path& path, const ImportOptions& options, SkipCounter& skips,
                  const std::function<void(const Json& row, const std::string& where)>& visit) {
  const std::string extension = path.extension().string();
  if (extension == ".csv" || extension == ".tsv" || extension == ".txt") {
    for_each_table_row(path, options, skips, visit);
    return;
  }
  if (extension == ".json") {
    const Json root = read_annotations(path, {"segmentation"});
    if (!root.is_array()) {
      throw Error::input("not a list of rows", path.string(), "give a JSON list, or .jsonl");
    }
    for (size_t i = 0; i < root.size(); ++i) {
      visit(root[i], path.string() + "[" + std::to_string(i) + "]");
    }
    return;
  }
  for_each_line(path, [&](std::string_view line, const std::string& where) {
    Json row = Json::parse(line, nullptr, false);
    if (row.is_discarded()) {
      skips.add(skip::kBadJson, where);
    } else {
      visit(row, where);
    }
  });
}

}  // namespace opencloc
