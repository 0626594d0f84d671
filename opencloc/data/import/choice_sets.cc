// Data sets that ask for the right one of several texts: SugarCrepe, ARO and Winoground, as they
// are published. FG-OVD's files are COCO's with "neg_category_ids" (coco.cc).
#include <algorithm>
#include <filesystem>

#include "opencloc/base/error.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/import/annotations.h"
#include "opencloc/data/import/import.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

// The file itself, or the JSON files of a folder, sorted.
std::vector<fs::path> choice_files(const ImportOptions& options) {
  require_annotations(options.annotations, "the data set's JSON file, or the folder of them");
  if (!fs::is_directory(options.annotations)) return {options.annotations};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(options.annotations))
    if (lower_extension(entry.path()) == "json") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty())
    throw Error::input("the folder holds no JSON file", options.annotations.string(),
                       "give the data set's files");
  return files;
}

// Both texts, or false (and counted).
bool two_texts(const Json& entry, const char* right, const char* wrong, const std::string& where,
               SkipCounter& skips) {
  const auto good = [&](const char* key) {
    const std::string text = json_text(json_value(entry, key));
    return !text.empty() && !has_bad_mark(text);
  };
  if (good(right) && good(wrong)) return true;
  skips.add(skip::kNoText, where, std::string("no '") + right + "' or '" + wrong + "'");
  return false;
}

}  // namespace

// {"0": {"filename", "caption", "negative_caption"}, ...}, a file for each kind.
void import_sugarcrepe(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  for (const auto& file : choice_files(options)) {
    const Json root = read_annotations(file, {});
    for (const auto& [number, entry] : root.items()) {
      const std::string where = file.string() + "[" + number + "]";
      if (!two_texts(entry, "caption", "negative_caption", where, skips)) continue;
      ImportItem* item = list.claim(json_text(json_value(entry, "filename")), where, skips);
      if (item == nullptr) continue;
      add_choice(item->record, json_text(entry["caption"]),
                 Json::array({json_text(entry["negative_caption"])}), file.stem().string());
    }
  }
}

// visual_genome_relation.json and visual_genome_attribution.json: [{"image_path", "bbox_x",
// "bbox_y", "bbox_w", "bbox_h", "true_caption", "false_caption", "relation_name" | "attributes"},
// ...]. The evaluation cuts the box out, so that it is a region here.
void import_aro(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  for (const auto& file : choice_files(options)) {
    const Json root = read_annotations(file, {});
    for (size_t i = 0; i < root.size() && root.is_array(); ++i) {
      const Json& entry = root[i];
      const std::string where = file.string() + "[" + std::to_string(i) + "]";
      if (!two_texts(entry, "true_caption", "false_caption", where, skips)) continue;
      ImportRegion region;
      const Json corners{json_value(entry, "bbox_x"), json_value(entry, "bbox_y"),
                         json_value(entry, "bbox_w"), json_value(entry, "bbox_h")};
      if (!box_from_xywh(corners, region.region.box)) {
        skips.add(skip::kBadBox, where, dump_json(corners));
        continue;
      }
      ImportItem* item = list.claim(json_text(json_value(entry, "image_path")), where, skips);
      if (item == nullptr) continue;
      region.region.text = json_text(entry["true_caption"]);
      region.region.source = "human";
      region.region.extra["negatives"] = Json::array({json_text(entry["false_caption"])});
      std::string kind = json_text(json_value(entry, "relation_name"));
      for (const auto& attribute : json_value(entry, "attributes"))
        kind += (kind.empty() ? "" : "_") + json_text(attribute);
      if (!kind.empty()) region.region.extra["kind"] = kind;
      item->regions.push_back(std::move(region));
    }
  }
}

// examples.jsonl: {"id", "image_0", "image_1", "caption_0", "caption_1", "tag", ...} a line.
void import_winoground(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  require_annotations(options.annotations, "Winoground's examples.jsonl");
  for_each_line(options.annotations, skips, [&](std::string_view line, const std::string& where) {
    const Json entry = parse_json(line, where);
    if (!two_texts(entry, "caption_0", "caption_1", where, skips)) return;
    const std::string id = json_id(json_value(entry, "id"));
    for (const char* side : {"0", "1"}) {
      const std::string name = json_text(json_value(entry, (std::string("image_") + side).c_str()));
      // The published names have no ending.
      FoundPicture picture = list.pictures().find(name);
      if (!picture) picture = list.pictures().find_stem(name);
      for (const char* ending : {".png", ".jpg"})
        if (!picture) picture = list.pictures().find(name + ending);
      ImportItem* item = picture ? list.at(picture) : nullptr;
      if (item == nullptr) {
        skips.add(skip::kMissingImage, name, where);
        continue;
      }
      item->record.caption = json_text(entry[std::string("caption_") + side]);
      item->record.extra["pair"] = id;
      const std::string tag = json_text(json_value(entry, "collapsed_tag"));
      if (!tag.empty()) item->record.extra["kind"] = tag;
    }
  });
}

}  // namespace opencloc
