// A folder of pictures. The folder that a picture lies in is its class, where there are folders;
// a text or JSON file beside it (img2dataset's "files" output) is taken along.
#include "opencloc/base/files.h"
#include "opencloc/data/import.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

std::string filled(std::string text, const std::string& name) {
  if (const size_t at = text.find("{}"); at != std::string::npos) text.replace(at, 2, name);
  return text;
}

// KEY.txt and KEY.json beside the picture.
void add_sidecars(fs::path path, ImportItem& item) {
  if (fs::is_regular_file(path.replace_extension(".txt"))) {
    Record& record = item.record;
    record.alt_text = read_file(path);
    const size_t last = record.alt_text.find_last_not_of(" \t\r\n");
    record.alt_text.resize(last == std::string::npos ? 0 : last + 1);
  }
  if (fs::is_regular_file(path.replace_extension(".json"))) {
    parse_record_json(read_file(path), path.string(), item.record);
    for (auto& region : item.record.regions) item.regions.push_back({std::move(region), true});
    item.record.regions.clear();
  }
}

}  // namespace

void import_folder(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  for (const auto& image : list.pictures().all()) {
    ImportItem& item = list.at(image);
    try {
      add_sidecars(image, item);
    } catch (const BadSample& bad) {
      skips.add(bad);
    }
    const std::string folder = image.lexically_relative(options.images).parent_path().filename();
    if (folder.empty() || item.record.label) continue;
    item.record.label = class_text(folder);
    if (*item.record.label != folder) item.record.extra["category"] = folder;
    const bool has_text = !image_text(item.record).empty();
    if (!has_text && !options.caption_template.empty()) {
      item.record.caption = filled(options.caption_template, *item.record.label);
    }
  }
}

}  // namespace opencloc
