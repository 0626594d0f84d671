// COCO's instances.json and LVIS, which is the same with other habits; COCO's captions.json. The
// file is read an element at a time, and of an annotation only what is needed is held, so that
// memory does not follow the polygons.
#include <cstdint>
#include <optional>
#include <unordered_map>

#include "opencloc/base/json_stream.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/import/annotations.h"
#include "opencloc/data/import/import.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

enum CocoList : size_t { kImages, kCategories, kAnnotations };

struct CocoImage {
  std::string id;
  FoundPicture picture;
  std::string name;
  double width = 0;
  double height = 0;
};

struct CocoAnnotation {
  std::string id;     // for the log
  std::string image;  // json_id()
  std::string category;
  std::string caption;
  Box box;
  bool has_box = false;
  bool crowd = false;
  std::vector<std::string> negatives;  // FG-OVD: categories that the box is not, json_id()
};

// Ids that stand for one thing; an id that was given twice stands for none.
template <typename Value>
class CocoIds {
 public:
  void add(const std::string& id, const Value& value) {
    if (id.empty()) return;  // none was given
    const auto [it, is_new] = values_.emplace(id, value);
    if (!is_new && it->second != std::optional(value)) it->second.reset();
  }
  bool has(const std::string& id) const { return values_.contains(id); }
  const Value* find(const std::string& id) const {
    const auto it = values_.find(id);
    return it == values_.end() || !it->second ? nullptr : &*it->second;
  }

 private:
  std::unordered_map<std::string, std::optional<Value>> values_;
};

struct CocoFile {
  std::vector<CocoImage> images;
  CocoIds<std::string> classes;
  std::unordered_map<std::string, std::string> frequencies;  // LVIS: "r", "c", "f" by category
  std::vector<CocoAnnotation> annotations;
  bool has_images = false;
};

// The box, else the box around the polygons. False when there is neither.
bool take_box(const Json& annotation, Box& box) {
  const bool given = box_from_xywh(json_value(annotation, "bbox"), box);
  if (given && box.area() > 0) return true;
  Box around;
  if (box_from_corners(json_value(annotation, "segmentation"), around) && around.area() > 0) {
    box = around;
    return true;
  }
  return given;  // with no area, which is counted as such
}

CocoImage read_image(const Json& image, const PictureFinder& pictures) {
  CocoImage result;
  result.id = json_id(json_value(image, "id"));
  for (const char* key : {"file_name", "coco_url"}) {
    const std::string name = json_text(json_value(image, key));
    if (result.name.empty()) result.name = name;
    if (!result.picture) result.picture = pictures.find(name);
  }
  result.width = json_loose_number(json_value(image, "width")).value_or(0);
  result.height = json_loose_number(json_value(image, "height")).value_or(0);
  return result;
}

CocoAnnotation read_annotation(const Json& annotation) {
  CocoAnnotation result;
  result.id = "annotation " + dump_json(json_value(annotation, "id"));
  result.image = json_id(json_value(annotation, "image_id"));
  result.category = json_id(json_value(annotation, "category_id"));
  result.caption = json_text(json_value(annotation, "caption"));
  result.has_box = take_box(annotation, result.box);
  result.crowd = json_truth(json_value(annotation, "iscrowd"));
  for (const auto& id : json_value(annotation, "neg_category_ids"))
    result.negatives.push_back(json_id(id));
  return result;
}

CocoFile read_coco(const fs::path& path, const PictureFinder& pictures, SkipCounter& skips) {
  CocoFile file;
  const JsonLists lists{{"images", "categories", "annotations"},
                        "segmentation",
                        {"keypoints", "attributes", "segments_info"},
                        "COCO file"};
  const auto found = for_each_json_element(
      read_annotation_text(path), path.string(), lists, [&](size_t list, Json&& element) {
        if (!element.is_object()) {
          skips.add(skip::kBadAnnotation, path.string(), "an element is no object");
        } else if (list == kImages) {
          file.images.push_back(read_image(element, pictures));
        } else if (list == kCategories) {
          const std::string id = json_id(json_value(element, "id"));
          file.classes.add(id, json_text(json_value(element, "name")));
          const std::string frequency = json_text(json_value(element, "frequency"));
          if (!frequency.empty()) file.frequencies[id] = frequency;
        } else {
          file.annotations.push_back(read_annotation(element));
        }
      });
  file.has_images = found[kImages];
  return file;
}

// Image id -> item: null when the picture is missing, which is counted here.
CocoIds<ImportItem*> list_images(const CocoFile& file, const fs::path& path, ImportList& list,
                                 SkipCounter& skips) {
  for (const auto& image : file.images) {
    if (!image.picture) {
      const std::string detail = image.picture.why.empty() ? path.string() : image.picture.why;
      skips.add(skip::kMissingImage, image.name.empty() ? "id " + image.id : image.name, detail);
    } else if (ImportItem* item = list.at(image.picture); item != nullptr) {
      item->width = image.width;
      item->height = image.height;
    }
  }
  CocoIds<ImportItem*> items;
  for (const auto& image : file.images) {
    ImportItem* item = image.picture ? list.holder(image.picture) : nullptr;
    items.add(image.id, item);
    if (item == nullptr) continue;
    const bool whole = !image.id.empty() &&
                       image.id.find_first_not_of("0123456789") == std::string::npos &&
                       image.id.size() < 18;
    item->record.extra["image_id"] = whole ? Json(std::stoll(image.id)) : Json(image.id);
  }
  for (const auto& image : file.images) {
    if (ImportItem* const* item = items.find(image.id)) list.set_id(image.id, *item);
  }
  return items;
}

// The box as a region of its class, with what else evaluations ask of it.
ImportRegion coco_region(const CocoAnnotation& annotation, const std::string& category,
                         const CocoFile& file) {
  ImportRegion made = class_region(category, annotation.box);
  Json& extra = made.region.extra;
  if (annotation.crowd) extra["crowd"] = true;
  const auto frequency = file.frequencies.find(annotation.category);
  if (frequency != file.frequencies.end()) extra["frequency"] = frequency->second;
  for (const auto& id : annotation.negatives) {
    const std::string* negative = file.classes.find(id);
    if (negative != nullptr && !negative->empty())
      extra["negatives"].push_back(class_text(*negative));
  }
  return made;
}

void use_annotation(CocoAnnotation&& annotation, const CocoFile& file, bool keep_crowd,
                    ImportItem& item, SkipCounter& skips) {
  const CocoIds<std::string>& classes = file.classes;
  const std::string& name = annotation.id;
  const std::string* category = classes.find(annotation.category);
  if (annotation.caption.empty() && !annotation.has_box) {
    skips.add(skip::kBadBox, name, "neither bbox nor polygons");
  } else if (annotation.has_box && category == nullptr) {
    skips.add(skip::kBadAnnotation, name,
              classes.has(annotation.category) ? "its category_id stands for two categories"
                                               : "its category_id is not in 'categories'");
  } else if (annotation.has_box && category->empty()) {
    skips.add(skip::kBadAnnotation, name, "its category has no name");
  } else if (has_bad_mark(annotation.caption) || (annotation.has_box && has_bad_mark(*category))) {
    skips.add(skip::kNotUtf8, name, "its caption or the name of its category");
  } else if (annotation.crowd && !keep_crowd) {
    skips.add(kCrowdAnnotation, name, "a box around many objects, that region is left out");
  } else {
    if (annotation.has_box) item.regions.push_back(coco_region(annotation, *category, file));
    add_caption(item.record, std::move(annotation.caption));
  }
}

void import_instances(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  const fs::path& path = options.annotations;
  require_annotations(path, "the dataset's instances.json");
  CocoFile file = read_coco(path, list.pictures(), skips);
  if (file.images.empty()) {
    throw Error::input("no 'images' in the file", path.string(), "check that this is a COCO file");
  }
  const auto items = list_images(file, path, list, skips);
  for (auto& annotation : file.annotations) {
    ImportItem* const* item = items.find(annotation.image);
    if (item != nullptr && *item == nullptr) {
      skips.add(skip::kOfMissing, annotation.id, "its picture is not there");
    } else if (item != nullptr) {
      use_annotation(std::move(annotation), file, options.crowd, **item, skips);
    } else {
      skips.add(skip::kBadAnnotation, annotation.id,
                annotation.image.empty()      ? "it has no image_id"
                : items.has(annotation.image) ? "its image_id stands for two pictures"
                                              : "its image_id is not in 'images'");
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

bool is_coco_file(const fs::path& path) {
  const std::string text = read_text(path);
  return trimmed(text).starts_with('{') && text.find("\"annotations\"") != std::string::npos;
}

void add_coco_captions(const fs::path& path, ImportList& list, SkipCounter& skips) {
  CocoFile file = read_coco(path, list.pictures(), skips);
  // Pictures that are not in the list are passed over; two names for one picture fit none.
  std::unordered_map<std::string, std::string> claims;
  CocoIds<ImportItem*> items;
  for (const auto& image : file.images) {
    if (!image.picture) continue;
    const auto [it, is_new] = claims.emplace(image.picture.path.string(), image.picture.claim);
    if (!is_new && it->second != image.picture.claim) it->second = "\n";
  }
  for (const auto& image : file.images) {
    ImportItem* item = nullptr;
    if (image.picture && claims[image.picture.path.string()] == image.picture.claim) {
      item = list.find(image.picture.path);
    }
    items.add(image.id, item);
  }
  RowsUsed rows;
  for (auto& annotation : file.annotations) {
    ++rows.all;
    ImportItem* const* item = items.find(annotation.image);
    if (item == nullptr && file.images.empty()) {  // a list of results has no 'images'
      ImportItem* by_id = list.by_id(annotation.image);
      if (by_id == nullptr) continue;
      add_caption(by_id->record, std::move(annotation.caption));
      ++rows.used;
      continue;
    }
    if (item == nullptr || *item == nullptr) continue;
    if (annotation.caption.empty()) {
      skips.add(skip::kNoText, annotation.id, path.string());
    } else if (has_bad_mark(annotation.caption)) {
      skips.add(skip::kNotUtf8, annotation.id, path.string());
    } else {
      add_caption((*item)->record, std::move(annotation.caption));
      ++rows.used;
    }
  }
  note_unused(path, "captions", rows, skips);
}

}  // namespace opencloc
