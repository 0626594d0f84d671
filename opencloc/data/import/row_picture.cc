// Which picture a row speaks of.
#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "opencloc/data/import/annotations.h"
#include "opencloc/data/import/rows.h"

namespace opencloc {
namespace {

constexpr std::array kImageKeys = {"image",     "image_path", "img_path", "filepath", "file_path",
                                   "file_name", "filename",   "path",     "img",      "image_name"};

// The picture that the row's own name says; `said`: that name.
FoundPicture picture_by_name(const Json& row, const RowNames& names, const PictureFinder& pictures,
                             std::string& said) {
  FoundPicture found;
  const auto look = [&](const std::string& key) {
    const Json& value = json_value(row, key.c_str());  // Hugging Face's {"bytes": ..., "path": ...}
    const std::string name = json_text(value.is_object() ? json_value(value, "path") : value);
    if (name.empty() || (found && found.claim.empty())) return;
    if (said.empty()) said = name;
    FoundPicture now = pictures.find(name);
    const size_t hash = name.rfind('#');  // Flickr8k's "1000.jpg#0"
    if (!now && hash != std::string::npos) now = pictures.find(name.substr(0, hash));
    // A picture's own path comes before a name that only fits.
    const bool better = now && (!found || (now.claim.empty() && !found.claim.empty()));
    if (better || (!found && found.why.empty())) found = now;
  };
  // Karpathy's files have the folder and the name apart.
  const std::string folder = json_text(json_value(row, "filepath"));
  const std::string file = json_text(json_value(row, "filename"));
  if (!folder.empty() && !file.empty()) found = pictures.find(folder + "/" + file);
  if (!names.image.empty()) look(names.image);
  for (const char* key : kImageKeys) look(key);
  return found;
}

}  // namespace

bool is_picture_key(std::string_view key) {
  return std::any_of(kImageKeys.begin(), kImageKeys.end(), [&](const char* k) { return key == k; });
}

FoundPicture picture_of_row(const Json& row, const RowNames& names, ImportList& list,
                            const std::string& where, SkipCounter& skips) {
  if (!row.is_object()) {
    skips.add(skip::kBadAnnotation, where, "not an object");
    return {};
  }
  std::string said;
  FoundPicture found = picture_by_name(row, names, list.pictures(), said);
  const std::string id = json_id(json_value(row, "image_id"));
  if (!found && said.empty() && !id.empty()) {
    said = "image_id " + id;
    if (const ImportItem* item = list.by_id(id); item != nullptr) {
      found = {item->image, item->claim, {}};
    } else if (!list.has_ids()) {
      int64_t number = 0;
      const auto read = std::from_chars(id.data(), id.data() + id.size(), number);
      const bool whole = read.ec == std::errc() && read.ptr == id.data() + id.size();
      found = whole ? list.pictures().find_numbered(number) : list.pictures().find(id);
      if (!found && !whole) found = list.pictures().find_stem(id);
    }
  }
  if (found) return found;
  if (said.empty()) {
    skips.add(skip::kBadAnnotation, where, "the row names no picture");
  } else {
    skips.add(skip::kMissingImage, said, found.why.empty() ? where : where + ": " + found.why);
  }
  return {};
}

}  // namespace opencloc
