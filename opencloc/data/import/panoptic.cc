// COCO's panoptic annotations: the things among a picture's segments, which CLIPSelf classifies.
#include <unordered_map>

#include "opencloc/base/error.h"
#include "opencloc/data/import/annotations.h"
#include "opencloc/data/import/import.h"

namespace opencloc {
namespace {

struct PanopticClass {
  std::string name;
  bool is_thing = false;
};

void add_segment(const Json& segment, const std::unordered_map<std::string, PanopticClass>& classes,
                 const ImportOptions& options, const std::string& where, ImportItem& item,
                 SkipCounter& skips) {
  const auto found = classes.find(json_id(json_value(segment, "category_id")));
  Box box;
  if (found == classes.end()) {
    skips.add(skip::kBadAnnotation, where, "its category_id is not in 'categories'");
  } else if (!found->second.is_thing) {
    return;  // stuff has no box of its own
  } else if (!box_from_xywh(json_value(segment, "bbox"), box)) {
    skips.add(skip::kBadBox, where, dump_json(json_value(segment, "bbox")));
  } else if (const bool crowd = json_truth(json_value(segment, "iscrowd"));
             crowd && !options.crowd) {
    skips.add(kCrowdAnnotation, where, "a box around many objects, that region is left out");
  } else {
    item.regions.push_back(class_region(found->second.name, box));
    if (crowd) item.regions.back().region.extra["crowd"] = true;
  }
}

}  // namespace

void import_panoptic(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  require_annotations(options.annotations, "the dataset's panoptic.json");
  const std::string path = options.annotations.string();
  const Json root = read_annotations(options.annotations, {});
  std::unordered_map<std::string, PanopticClass> classes;
  for (const auto& category : json_at(root, "categories", path)) {
    classes[json_id(json_value(category, "id"))] = {json_text(json_value(category, "name")),
                                                    json_truth(json_value(category, "isthing"))};
  }
  std::unordered_map<std::string, ImportItem*> items;
  for (const auto& image : json_at(root, "images", path)) {
    const std::string name = json_text(json_value(image, "file_name"));
    ImportItem* item = list.claim(name, path, skips);
    items[json_id(json_value(image, "id"))] = item;
    if (item == nullptr) continue;
    item->width = json_loose_number(json_value(image, "width")).value_or(0);
    item->height = json_loose_number(json_value(image, "height")).value_or(0);
  }
  for (const auto& annotation : json_at(root, "annotations", path)) {
    const std::string id = json_id(json_value(annotation, "image_id"));
    const std::string where = "annotation of picture " + id;
    const auto found = items.find(id);
    if (found == items.end()) {
      skips.add(skip::kBadAnnotation, where, "its image_id is not in 'images'");
    } else if (found->second == nullptr) {
      skips.add(skip::kOfMissing, where, "its picture is not there");
    } else {
      for (const auto& segment : json_value(annotation, "segments_info"))
        add_segment(segment, classes, options, where, *found->second, skips);
    }
  }
}

}  // namespace opencloc
