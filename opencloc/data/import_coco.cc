// COCO's instances.json and LVIS, which is the same with other habits; COCO's captions.json.
#include <unordered_map>

#include "opencloc/data/import.h"
#include "opencloc/data/import_annotations.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kCrowd = "crowd annotation";

// The list `key` of a COCO file; empty when there is none.
const Json& list_of(const Json& root, const char* key, const fs::path& path) {
  static const Json kNone = Json::array();
  if (!root.is_object())
    throw Error::input("not a COCO file", path.string(), "check --annotations");
  const auto it = root.find(key);
  if (it == root.end()) return kNone;
  if (!it->is_array()) {
    throw Error::input(std::string("'") + key + "' is not a list", path.string(),
                       "check that this is a COCO file");
  }
  return *it;
}

int64_t id_of(const Json& object, const char* key, const fs::path& path) {
  json_at(object, key, path.string());
  return json_int(object, key, path.string(), 0);
}

// The picture of an "images" entry: by its name, by LVIS's coco_url, by its number.
std::optional<fs::path> find_picture(const PictureFinder& pictures, const Json& image, int64_t id,
                                     const std::string& where) {
  for (const char* key : {"file_name", "coco_url"}) {
    if (auto path = pictures.find(json_string(image, key, where, ""))) return path;
  }
  return pictures.find_number(id);
}

std::unordered_map<int64_t, std::string> class_names(const Json& root, const fs::path& path) {
  std::unordered_map<int64_t, std::string> names;
  for (const auto& category : list_of(root, "categories", path)) {
    names[id_of(category, "id", path)] = json_string(category, "name", path.string(), "");
  }
  return names;
}

// Image id -> item, for the pictures that are there.
std::unordered_map<int64_t, ImportItem*> list_images(const Json& root, const fs::path& path,
                                                     ImportList& list, SkipCounter& skips) {
  std::unordered_map<int64_t, ImportItem*> items;
  for (const auto& image : list_of(root, "images", path)) {
    const int64_t id = id_of(image, "id", path);
    const auto picture = find_picture(list.pictures(), image, id, path.string());
    if (!picture) {
      skips.add(skip::kMissingImage,
                json_string(image, "file_name", path.string(), "id " + std::to_string(id)));
      continue;
    }
    ImportItem& item = list.at(*picture);
    item.width = json_number(image, "width", path.string(), 0);
    item.height = json_number(image, "height", path.string(), 0);
    item.record.extra["image_id"] = id;
    items[id] = &item;
  }
  return items;
}

// The boxes of a COCO-like file; `text_of` turns a class name into a region's text.
void import_instances(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  const fs::path& path = options.annotations;
  require_annotations(path, "the dataset's instances.json");
  const Json root = read_annotations(path, {"segmentation", "info", "licenses"});
  const auto names = class_names(root, path);
  const auto items = list_images(root, path, list, skips);
  if (items.empty() && list_of(root, "images", path).empty()) {
    throw Error::input("no 'images' in the file", path.string(), "check that this is a COCO file");
  }
  for (const auto& annotation : list_of(root, "annotations", path)) {
    const std::string name = "annotation " + dump_json(annotation.value("id", Json()));
    const auto item = items.find(id_of(annotation, "image_id", path));
    if (item == items.end()) continue;  // its picture is missing, which was counted
    const auto category = names.find(json_int(annotation, "category_id", path.string(), -1));
    Box box;
    if (!box_from_xywh(annotation.value("bbox", Json()), box)) {
      skips.add(skip::kBadBox, name, path.string());
    } else if (category == names.end() || category->second.empty()) {
      skips.add(skip::kBadAnnotation, name, "its category_id is not in 'categories'");
    } else if (annotation.value("iscrowd", Json()) == 1) {
      skips.add(kCrowd, name, "a box around many objects, that region is left out");
    } else {
      item->second->regions.push_back(class_region(category->second, box));
    }
  }
}

}  // namespace

void import_coco(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  import_instances(options, list, skips);
}

void import_lvis(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  import_instances(options, list, skips);
}

void add_coco_captions(const fs::path& path, ImportList& list, SkipCounter& skips) {
  const Json root = read_annotations(path, {"info", "licenses"});
  std::unordered_map<int64_t, ImportItem*> items;
  for (const auto& image : list_of(root, "images", path)) {
    const int64_t id = id_of(image, "id", path);
    const auto picture = find_picture(list.pictures(), image, id, path.string());
    if (picture) items[id] = list.find(*picture);
  }
  for (const auto& annotation : list_of(root, "annotations", path)) {
    const auto item = items.find(id_of(annotation, "image_id", path));
    if (item == items.end() || item->second == nullptr) continue;
    const std::string caption = json_string(annotation, "caption", path.string(), "");
    if (caption.empty()) {
      skips.add(skip::kNoText, "annotation " + dump_json(annotation.value("id", Json())),
                path.string());
      continue;
    }
    add_caption(item->second->record, caption);
  }
}

}  // namespace opencloc
