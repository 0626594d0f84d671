// Referring expressions. Three forms are read:
//   rows: a list or lines of {file_name | image_id, bbox | solution, expressions} (import_rows.h)
//   REFER's refs as JSON, with instances.json of the same folder for the boxes (ann_id)
//   MDETR's COCO-like files, where an "images" entry is an expression
#include <unordered_map>

#include "opencloc/data/import.h"
#include "opencloc/data/import_annotations.h"
#include "opencloc/data/import_rows.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

// Annotation id -> bbox, of the instances.json beside REFER's refs.
std::unordered_map<int64_t, Json> read_boxes(const fs::path& path) {
  std::unordered_map<int64_t, Json> boxes;
  const Json root = read_annotations(path, {"segmentation", "images", "info", "licenses"});
  for (const auto& annotation : json_at(root, "annotations", path.string())) {
    boxes[json_int(annotation, "id", path.string(), 0)] = annotation.value("bbox", Json());
  }
  return boxes;
}

void import_list(const Json& rows, const ImportOptions& options, ImportList& list,
                 SkipCounter& skips) {
  std::unordered_map<int64_t, Json> boxes;
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
      if (boxes.empty()) boxes = read_boxes(options.annotations.parent_path() / "instances.json");
      const auto it = boxes.find(json_int(row, "ann_id", where, 0));
      if (it != boxes.end()) row["bbox"] = it->second;
    }
    const auto picture = picture_of_row(row, {}, list.pictures(), where, skips);
    if (picture) merge_row(row, {}, where, list.at(*picture), skips);
  }
}

void import_mdetr(const Json& root, const ImportOptions& options, ImportList& list,
                  SkipCounter& skips) {
  const std::string path = options.annotations.string();
  std::unordered_map<int64_t, std::pair<ImportItem*, std::string>> expressions;
  for (const auto& image : json_at(root, "images", path)) {
    const std::string name = json_string(image, "file_name", path, "");
    const auto picture = list.pictures().find(name);
    if (!picture) {
      skips.add(skip::kMissingImage, name, path);
      continue;
    }
    ImportItem& item = list.at(*picture);
    item.width = json_number(image, "width", path, 0);
    item.height = json_number(image, "height", path, 0);
    expressions[json_int(image, "id", path, 0)] = {&item, json_string(image, "caption", path, "")};
  }
  for (const auto& annotation : json_at(root, "annotations", path)) {
    const auto it = expressions.find(json_int(annotation, "image_id", path, -1));
    if (it == expressions.end()) continue;  // its picture is missing, which was counted
    const Json row = {{"bbox", annotation.value("bbox", Json())}, {"phrase", it->second.second}};
    merge_row(row, {}, path, *it->second.first, skips);
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
