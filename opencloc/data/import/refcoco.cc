// Referring expressions. Three forms are read:
//   rows: a list or lines of {file_name | image_id, bbox | solution, expressions} (import_rows.h)
//   REFER's refs as JSON, with instances.json of the same folder for the boxes (ann_id)
//   MDETR's COCO-like files, where an "images" entry is an expression
#include <optional>
#include <unordered_map>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/json_stream.h"
#include "opencloc/data/import/annotations.h"
#include "opencloc/data/import/import.h"
#include "opencloc/data/import/rows.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

// The instances.json beside REFER's refs.
struct Instances {
  std::unordered_map<std::string, Json> boxes;         // annotation id -> bbox
  std::unordered_map<std::string, std::string> names;  // picture id -> file_name
};

Instances read_instances(const fs::path& path) {
  Instances result;
  for_each_json_element(read_annotation_text(path), path.string(),
                        {{"annotations", "images"}, {}, {"segmentation"}, "COCO file"},
                        [&](size_t list, Json&& element) {
                          const std::string id = json_id(json_value(element, "id"));
                          if (list == 0) result.boxes[id] = json_value(element, "bbox");
                          if (list == 1)
                            result.names[id] = json_text(json_value(element, "file_name"));
                        });
  return result;
}

// REFER's "COCO_train2014_000000581857_16.jpg" is the picture without the "_16" of the reference.
std::string without_reference(const std::string& name) {
  const size_t dot = name.rfind('.');
  const size_t mark = name.rfind('_', dot);
  const size_t before = mark == std::string::npos || mark == 0 ? mark : name.rfind('_', mark - 1);
  if (!name.starts_with("COCO_") || before == std::string::npos || mark - before != 13) return name;
  return name.substr(0, mark) + name.substr(dot);
}

void import_list(const Json& rows, const ImportOptions& options, ImportList& list,
                 SkipCounter& skips) {
  std::optional<Instances> instances;
  for (size_t i = 0; i < rows.size(); ++i) {
    Json row = rows[i];
    const std::string where = options.annotations.string() + "[" + std::to_string(i) + "]";
    if (!row.is_object()) {
      skips.add(skip::kBadAnnotation, where, "not an object");
      continue;
    }
    if (!options.split.empty() && row.value("split", Json()) != options.split) continue;
    const bool has_box = row.contains("bbox") || row.contains("solution") || row.contains("box") ||
                         row.contains("bbox_xyxy");
    if (!has_box && row.contains("ann_id")) {
      if (!instances) {
        instances = read_instances(options.annotations.parent_path() / "instances.json");
      }
      const auto box = instances->boxes.find(json_id(row["ann_id"]));
      if (box != instances->boxes.end()) row["bbox"] = box->second;
      const auto name = instances->names.find(json_id(json_value(row, "image_id")));
      if (name != instances->names.end()) {
        row["file_name"] = name->second;
      } else if (row.contains("file_name")) {
        row["file_name"] = without_reference(json_text(row["file_name"]));
      }
    }
    const FoundPicture picture = picture_of_row(row, {}, list, where, skips);
    ImportItem* item = picture ? list.at(picture) : nullptr;
    if (item != nullptr)
      merge_row(row, {.every_sentence = options.every_sentence}, where, *item, skips);
  }
}

void import_mdetr(const Json& root, const ImportOptions& options, ImportList& list,
                  SkipCounter& skips) {
  const std::string path = options.annotations.string();
  struct Expression {
    FoundPicture picture;
    std::string text;
  };
  std::unordered_map<std::string, Expression> expressions;
  for (const auto& image : json_at(root, "images", path)) {
    const std::string name = json_text(json_value(image, "file_name"));
    FoundPicture picture = list.pictures().find(name);
    if (!picture) {
      skips.add(skip::kMissingImage, name, picture.why.empty() ? path : picture.why);
    } else if (ImportItem* item = list.at(picture); item != nullptr) {
      item->width = json_loose_number(json_value(image, "width")).value_or(0);
      item->height = json_loose_number(json_value(image, "height")).value_or(0);
    }
    expressions[json_id(json_value(image, "id"))] = {std::move(picture),
                                                     json_text(json_value(image, "caption"))};
  }
  for (const auto& annotation : json_at(root, "annotations", path)) {
    const std::string name = "annotation " + dump_json(json_value(annotation, "id"));
    const auto it = expressions.find(json_id(json_value(annotation, "image_id")));
    if (it == expressions.end()) {
      skips.add(skip::kBadAnnotation, name, "its image_id is not in 'images'");
      continue;
    }
    ImportItem* item = it->second.picture ? list.holder(it->second.picture) : nullptr;
    if (item == nullptr) {
      skips.add(skip::kOfMissing, name, "its picture is not there");
      continue;
    }
    const Json row = {{"bbox", json_value(annotation, "bbox")}, {"phrase", it->second.text}};
    merge_row(row, {.every_sentence = options.every_sentence}, path, *item, skips);
  }
}

}  // namespace

void import_refcoco(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  const fs::path& path = options.annotations;
  require_annotations(path, "the file of expressions");
  if (path.extension() == ".p" || path.extension() == ".pkl") {
    throw Error::input(
        "is a Python pickle", path.string(),
        "convert it: python3 -c 'import json,pickle,sys; "
        "json.dump(pickle.load(open(sys.argv[1],\"rb\")),open(\"refs.json\",\"w\"))' "
        "FILE");
  }
  if (path.extension() == ".jsonl") {
    import_jsonl(options, list, skips);
    return;
  }
  const Json root = read_annotations(path, {"segmentation", "tokens_positive"});
  if (root.is_array()) {
    import_list(root, options, list, skips);
  } else {
    import_mdetr(root, options, list, skips);
  }
}

}  // namespace opencloc
