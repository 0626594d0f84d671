// The files of given boxes -> GivenBoxes.
#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "opencloc/base/crc32c.h"
#include "opencloc/base/error.h"
#include "opencloc/base/json_stream.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/import/annotations.h"
#include "opencloc/data/import/mask_box.h"
#include "opencloc/data/import/rows.h"
#include "opencloc/label/given_boxes.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNoRegionText = "box without a text";

// "http://host/val2017/000139.jpg" -> "http:/host/val2017/000139": the form of a sample's key.
std::string name_as_key(std::string name) {
  std::replace(name.begin(), name.end(), '\\', '/');
  const fs::path path(name);
  if (is_picture_extension(lower_extension(path))) name.resize(name.rfind('.'));
  return safe_key(name);
}

// The first of the keys that holds a text.
std::string first_text(const Json& row, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const Json& value = json_value(row, key);
    if (!value.is_string()) continue;
    std::string text = json_text(value);
    if (!text.empty()) return text;
  }
  return {};
}

}  // namespace

// Reads the files of one set of boxes.
class GivenBoxReader {
 public:
  GivenBoxReader(GivenBoxes& all, const GivenBoxesOptions& options, SkipCounter& skips)
      : all_(all), options_(options), skips_(skips) {
    if (!options.annotations.empty()) read_names(options.annotations);
  }

  void read(const fs::path& path) {
    std::string text = read_annotation_text(path);
    note_file(path, text);
    file_source_ = options_.labeller.empty() ? path.stem().string() : options_.labeller;
    const int64_t before = rows_;
    const std::string_view content = trimmed(text);
    const std::string_view first_line = trimmed(content.substr(0, content.find('\n')));
    const std::string extension = lower_extension(path);
    const bool rows = content.starts_with('{') && first_line.ends_with('}') &&
                      first_line.find("\"annotations\"") == std::string_view::npos;
    if (rows || extension == "jsonl" || extension == "ndjson") {
      read_lines(text, path.string());
    } else {
      read_document(std::move(text), path.string());
    }
    if (rows_ == before) {
      throw Error::input("there are no boxes in the file", path.string(), kHowToWrite);
    }
  }

  // Categories and pictures may come after the boxes that name them by number.
  void finish() {
    if (!open_categories_.empty() && categories_.empty()) {
      throw Error::input("the boxes name their categories by number",
                         options_.files.front().string(),
                         "name the COCO file that has their names in the setting "
                         "'boxes_annotations'");
    }
    for (const auto& open : open_categories_) {
      const auto found = categories_.find(open.category);
      if (found != categories_.end()) {
        all_.pictures_[open.picture].boxes[open.box].text = found->second;
      } else {
        skips_.add(kNoRegionText, open.where,
                   "nothing says what category " + open.category + " is");
        --used_;
      }
    }
    need_boxes(options_.files.front().string());
    for (auto& picture : all_.pictures_)
      std::erase_if(picture.boxes, [](const GivenBox& box) { return box.text.empty(); });
    for (const auto& [id, image] : images_) {
      const auto known = all_.by_id_.find(id);
      if (known == all_.by_id_.end()) continue;
      for (auto& box : all_.pictures_[known->second].boxes) {
        if (box.in_unit || box.width > 0) continue;
        box.width = image.width;
        box.height = image.height;
      }
      if (!image.name.empty()) add_name(image.name, known->second);
    }
  }

 private:
  static constexpr std::string_view kHowToWrite =
      "write lines like {\"image\": NAME, \"bbox_xyxy\": [x0, y0, x1, y1], \"text\": TEXT, "
      "\"score\": S}, or COCO's results";

  struct NamedImage {
    std::string name;
    float width = 0, height = 0;
  };

  static JsonLists coco_lists(const char* root) {
    return {.names = {"images", "categories", "annotations"},
            .leave_out = {"keypoints", "attributes", "segments_info"},
            .what = "file of boxes",
            .root = root};
  }

  void note_file(const fs::path& path, std::string_view text) {
    all_.files_.push_back({{"file", path.filename().string()}, {"crc32c", crc32c(text)}});
  }

  void need_boxes(const std::string& where) const {
    if (used_ > 0 || pictures_without_boxes_ > 0) return;
    throw Error::input("not one box can be used: " + skips_.summary(), where, kHowToWrite);
  }

  // Takes what describes pictures and categories. False for an annotation.
  bool take_names(size_t list, const Json& element) {
    if (list == 0) {
      const std::string id = json_id(json_value(element, "id"));
      const auto size = [&](const char* key) {
        return static_cast<float>(json_loose_number(json_value(element, key)).value_or(0));
      };
      const std::string name = json_text(json_value(element, "file_name"));
      if (!id.empty()) images_[id] = {name, size("width"), size("height")};
    } else if (list == 1) {
      const std::string id = json_id(json_value(element, "id"));
      const std::string name = json_text(json_value(element, "name"));
      if (!id.empty() && !name.empty() && !has_bad_mark(name)) categories_[id] = class_text(name);
    }
    return list < 2;
  }

  void read_names(const fs::path& path) {
    std::string text = read_annotation_text(path);
    note_file(path, text);
    for_each_json_element(std::move(text), path.string(), coco_lists(""),
                          [&](size_t list, const Json& element) { take_names(list, element); });
    if (categories_.empty() && images_.empty()) {
      throw Error::input("neither 'categories' nor 'images' are in the file", path.string(),
                         "name a COCO file of annotations");
    }
  }

  void read_document(std::string text, const std::string& where) {
    int64_t number = 0;
    for_each_json_element(std::move(text), where, coco_lists("annotations"),
                          [&](size_t list, const Json& element) {
                            if (take_names(list, element)) return;
                            read_row(element, where + "[" + std::to_string(number++) + "]");
                          });
  }

  void read_lines(const std::string& text, const std::string& path) {
    for_each_text_line(text, [&](std::string_view line, int64_t number) {
      if (trimmed(line).empty()) return;
      const std::string where = path + ":" + std::to_string(number);
      try {
        read_row(parse_json(line, where), where);
      } catch (const Error& error) {
        ++rows_;
        ++all_.read_;
        skips_.add(skip::kBadJson, where, error.what());
      }
    });
  }

  void read_row(const Json& row, const std::string& where) {
    ++rows_;
    const std::optional<size_t> picture = picture_of(row);
    if (!picture) {
      ++all_.read_;
      skips_.add(skip::kBadAnnotation, where, "no picture is named: key, image or image_id");
      return;
    }
    for (const char* key : {"regions", "objects"}) {
      const Json& list = json_value(row, key);
      if (!list.is_array()) continue;
      for (const Json& item : list) read_box(item, row, *picture, where);
      pictures_without_boxes_ += list.empty() ? 1 : 0;
      return;
    }
    const Json& boxes = json_value(row, row.contains("boxes") ? "boxes" : "masks");
    if (boxes.is_array()) return read_lists(row, boxes, *picture, where);
    read_box(row, row, *picture, where);
  }

  // As transformers' post-processing gives them: boxes, scores and labels side by side.
  void read_lists(const Json& row, const Json& boxes, size_t picture, const std::string& where) {
    const bool masks = !row.contains("boxes");
    const Json* texts = &json_value(row, "text_labels");
    for (const char* key : {"texts", "labels"}) {
      if (!texts->is_array()) texts = &json_value(row, key);
    }
    const Json& scores = json_value(row, "scores");
    const auto fits = [&](const Json& list) {
      return !list.is_array() || list.size() == boxes.size();
    };
    if (!fits(*texts) || !fits(scores)) {
      all_.read_ += static_cast<int64_t>(boxes.size());
      skips_.add(skip::kBadAnnotation, where,
                 "'boxes', 'scores' and 'labels' are not of the same length");
      return;
    }
    for (size_t i = 0; i < boxes.size(); ++i) {
      Json item = {{masks ? "mask" : "bbox_xyxy", boxes[i]}};
      if (texts->is_array()) item["label"] = (*texts)[i];
      if (scores.is_array()) item["score"] = scores[i];
      read_box(item, row, picture, where);
    }
    pictures_without_boxes_ += boxes.empty() ? 1 : 0;
  }

  void read_box(const Json& item, const Json& row, size_t picture, const std::string& where) {
    ++all_.read_;
    GivenBox box;
    if (!item.is_object()) {
      skips_.add(skip::kBadAnnotation, where, "a region is no object");
      return;
    }
    const auto number = [&](const char* key) {
      const auto own = json_loose_number(json_value(item, key));
      const auto size = own ? own : json_loose_number(json_value(row, key));
      return static_cast<float>(size.value_or(0));
    };
    box.width = number("width");
    box.height = number("height");
    if (!take_place(item, box, where)) return;
    const Json& score = json_value(item, "score");
    const auto read_score = json_loose_number(score);
    if (!score.is_null() && !read_score) {
      skips_.add(skip::kBadAnnotation, where, "the score is not a finite number");
      return;
    }
    box.score = static_cast<float>(read_score.value_or(1));
    const std::string said = first_text(item, {"source", "labeller"});
    const std::string of_row = first_text(row, {"source", "labeller"});
    box.source = all_.source(!said.empty() ? said : !of_row.empty() ? of_row : file_source_);
    take_text(std::move(box), item, picture, where);
  }

  // The box or the mask. False when it cannot be used, which is counted.
  bool take_place(const Json& item, GivenBox& box, const std::string& where) {
    const Json* mask = &json_value(item, "segmentation");
    if (mask->is_null()) mask = &json_value(item, "mask");
    std::string problem = "no box, bbox, bbox_xyxy or segmentation";
    for (const char* key : {"box", "bbox", "bbox_xyxy"}) {
      const Json& value = json_value(item, key);
      if (value.is_null()) continue;
      const bool sized = std::string_view(key) == "bbox";
      const bool good = sized ? box_from_xywh(value, box.box) : box_from_corners(value, box.box);
      problem = "'" + std::string(key) + "' is not four finite numbers";
      if (!good) continue;
      box.in_unit = std::string_view(key) == "box";
      if (box.box.area() > 0) return true;
      problem.clear();
    }
    const bool flat = problem.empty();  // a box was there, without area
    if (!mask->is_null() && !(mask->is_array() && mask->empty())) {
      const MaskBox around = box_of_mask(*mask);
      if (around.problem.empty()) {
        box.box = around.box;
        box.in_unit = false;
        if (around.width > 0) {
          box.width = static_cast<float>(around.width);
          box.height = static_cast<float>(around.height);
        }
        if (box.box.area() > 0) return true;
      } else {
        problem = around.problem;
      }
    }
    if (flat || problem.empty()) {
      skips_.add(skip::kEmptyBox, where, "x0 < x1 and y0 < y1 are needed");
    } else {
      skips_.add(skip::kBadBox, where, problem);
    }
    return false;
  }

  void take_text(GivenBox&& box, const Json& item, size_t picture, const std::string& where) {
    box.text = first_text(item, {"text", "phrase", "text_label", "label", "category",
                                 "category_name", "class", "name"});
    std::string category;
    for (const char* key : {"category_id", "label"}) {  // closed-set detectors number their labels
      if (category.empty() && json_value(item, key).is_number())
        category = json_id(json_value(item, key));
    }
    if (box.text.empty() && category.empty()) {
      skips_.add(kNoRegionText, where, "write its text as \"text\"");
      return;
    }
    if (has_bad_mark(box.text)) {
      skips_.add(skip::kNotUtf8, where, "the text of a box");
      return;
    }
    auto& boxes = all_.pictures_[picture].boxes;
    if (box.text.empty()) open_categories_.push_back({picture, boxes.size(), category, where});
    boxes.push_back(std::move(box));
    ++used_;
  }

  // Made when it is not there yet.
  std::optional<size_t> picture_of(const Json& row) {
    if (!row.is_object()) return std::nullopt;
    const auto place = [&](std::unordered_map<std::string, size_t>& places, const std::string& id,
                           const std::string& name) {
      const auto [it, is_new] = places.emplace(id, all_.pictures_.size());
      if (is_new) all_.pictures_.push_back({name, {}, {}});
      return std::pair(it->second, is_new);
    };
    for (const char* key : {"key", "__key__"}) {
      const std::string name = json_text(json_value(row, key));
      if (!name.empty()) return place(all_.by_key_, safe_key(name), name).first;
    }
    for (const auto& [key, value] : row.items()) {
      if (!is_picture_key(key)) continue;
      const std::string name = json_text(value.is_object() ? json_value(value, "path") : value);
      if (name.empty()) continue;
      const auto [picture, is_new] = place(names_, name_as_key(name), name);
      if (is_new) add_name(name, picture);
      return picture;
    }
    const std::string id = json_id(json_value(row, "image_id"));
    if (id.empty()) return std::nullopt;
    return place(all_.by_id_, id, "image_id " + id).first;
  }

  void add_name(const std::string& name, size_t picture) {
    std::string key = name_as_key(name);
    std::string last = key.substr(key.rfind('/') + 1);
    all_.by_name_.emplace(std::move(last), std::pair(std::move(key), picture));
  }

  GivenBoxes& all_;
  const GivenBoxesOptions& options_;
  SkipCounter& skips_;
  std::string file_source_;
  std::unordered_map<std::string, size_t> names_;  // in the form of keys
  std::unordered_map<std::string, NamedImage> images_;
  std::unordered_map<std::string, std::string> categories_;
  struct OpenCategory {
    size_t picture, box;
    std::string category, where;
  };
  std::vector<OpenCategory> open_categories_;  // of boxes without another text
  int64_t rows_ = 0, used_ = 0, pictures_without_boxes_ = 0;
};

GivenBoxes::GivenBoxes(const GivenBoxesOptions& options, SkipCounter& skips) {
  GivenBoxReader reader(*this, options, skips);
  for (const auto& path : options.files) reader.read(path);
  reader.finish();
}

}  // namespace opencloc
