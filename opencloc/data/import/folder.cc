// A folder of pictures. The folder that a picture lies in is its class, where there are folders;
// a text or JSON file beside it (img2dataset's "files" output) is taken along, and so is Hugging
// Face's metadata.jsonl or metadata.csv.
#include <set>
#include <unordered_set>

#include "opencloc/base/files.h"
#include "opencloc/data/import/annotations.h"
#include "opencloc/data/import/import.h"
#include "opencloc/data/import/rows.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

std::string filled(std::string text, const std::string& name) {
  if (const size_t at = text.find("{}"); at != std::string::npos) text.replace(at, 2, name);
  return text;
}

// KEY.txt and KEY.json beside the picture.
void add_sidecars(fs::path path, ImportItem& item, SkipCounter& skips) {
  Record& record = item.record;
  if (fs::is_regular_file(path.replace_extension(".txt"))) set_alt_text(read_file(path), record);
  if (fs::is_regular_file(path.replace_extension(".json"))) {
    parse_record_json(read_file(path), path.string(), record);
    for (auto& region : record.regions) item.regions.push_back({std::move(region), true});
    record.regions.clear();
  }
  for (const auto& problem : record.problems) {
    skips.add(problem.reason, item.image.string(), problem.detail);
  }
  record.problems.clear();
}

// Hugging Face's metadata.jsonl or metadata.csv: rows of the pictures of its folder and below. What
// they say replaces the names of folders. False where there is none.
bool add_metadata(const fs::path& folder, const ImportOptions& options, ImportList& list,
                  SkipCounter& skips, std::unordered_set<const ImportItem*>& said) {
  for (const char* name : {"metadata.jsonl", "metadata.csv"}) {
    const fs::path path = folder / name;
    if (!fs::is_regular_file(path)) continue;
    const fs::path below = folder.lexically_relative(options.images);
    for_each_row(path, options, skips, [&](const Json& row, const std::string& where) {
      Json placed = row;
      const std::string file = json_text(json_value(row, "file_name"));
      if (!file.empty()) placed["file_name"] = (below / file).lexically_normal().string();
      const FoundPicture picture = picture_of_row(placed, {}, list, where, skips);
      ImportItem* item = picture ? list.at(picture) : nullptr;
      if (item == nullptr) return;
      merge_row(placed, {}, where, *item, skips);
      said.insert(item);
    });
    return true;
  }
  if (fs::exists(folder / "metadata.parquet")) {
    skips.note("a table that is not read", (folder / "metadata.parquet").string(),
               "write it as metadata.jsonl");
  }
  return false;
}

}  // namespace

void import_folder(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  std::set<fs::path> folders = {options.images};
  for (const auto& image : list.pictures().all()) {
    list.at(image);
    for (fs::path folder = image.parent_path(); folders.insert(folder).second;) {
      folder = folder.parent_path();
    }
  }
  std::unordered_set<const ImportItem*> said;
  for (const auto& folder : folders) {
    const fs::path below = folder.lexically_relative(options.images);
    if (folder == options.images || (!below.empty() && *below.begin() != "..")) {
      add_metadata(folder, options, list, skips, said);
    }
  }
  for (const auto& image : list.pictures().all()) {
    ImportItem& item = list.at(image);
    try {
      add_sidecars(image, item, skips);
    } catch (const BadSample& bad) {
      skips.add(bad);
    }
    const std::string folder = image.lexically_relative(options.images).parent_path().filename();
    if (folder.empty() || item.record.label || said.contains(&item)) continue;
    item.record.label = class_text(folder);
    if (*item.record.label != folder) item.record.extra["category"] = folder;
    const bool has_text = !image_text(item.record).empty();
    if (!has_text && !options.caption_template.empty()) {
      item.record.caption = filled(options.caption_template, *item.record.label);
    }
  }
}

}  // namespace opencloc
