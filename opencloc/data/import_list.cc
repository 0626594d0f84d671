#include "opencloc/data/import_list.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "opencloc/base/error.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  if (!extension.empty()) extension.erase(0, 1);
  for (char& c : extension) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return extension;
}

}  // namespace

std::optional<int64_t> trailing_number(std::string_view stem) {
  size_t start = stem.size();
  while (start > 0 && stem[start - 1] >= '0' && stem[start - 1] <= '9') --start;
  int64_t number = 0;
  const auto end = stem.data() + stem.size();
  const auto read = std::from_chars(stem.data() + start, end, number);
  if (start == stem.size() || read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return number;
}

PictureFinder::PictureFinder(fs::path folder) : folder_(std::move(folder)) {
  std::error_code ec;
  if (!fs::is_directory(folder_, ec)) {
    throw Error::input("no such folder of pictures", folder_.string(), "check --images");
  }
  const auto options = fs::directory_options::follow_directory_symlink |
                       fs::directory_options::skip_permission_denied;
  for (const auto& entry : fs::recursive_directory_iterator(folder_, options)) {
    if (entry.path().filename().string().starts_with('.')) continue;
    if (is_picture_extension(lower_extension(entry.path()))) all_.push_back(entry.path());
  }
  std::sort(all_.begin(), all_.end());
  for (size_t i = 0; i < all_.size(); ++i) {
    by_name_.emplace(all_[i].filename().string(), i);
    if (const auto number = trailing_number(all_[i].stem().string())) {
      by_number_.emplace(*number, i);
    }
  }
}

std::optional<fs::path> PictureFinder::find(std::string_view name) const {
  if (name.empty()) return std::nullopt;
  std::error_code ec;
  const fs::path direct = folder_ / fs::path(name);
  if (fs::is_regular_file(direct, ec)) return direct;
  const auto it = by_name_.find(fs::path(name).filename().string());
  if (it == by_name_.end()) return std::nullopt;
  return all_[it->second];
}

std::optional<fs::path> PictureFinder::find_number(int64_t number) const {
  const auto it = by_number_.find(number);
  if (it == by_number_.end()) return std::nullopt;
  return all_[it->second];
}

ImportItem& ImportList::at(const fs::path& image) {
  const std::string path = image.lexically_normal().string();
  const auto [it, is_new] = by_path_.emplace(path, items_.size());
  if (!is_new) return items_[it->second];
  ImportItem& item = items_.emplace_back();
  item.image = image;
  fs::path relative = image.lexically_relative(finder_.folder());
  if (relative.empty() || *relative.begin() == "..") relative = image.filename();
  const std::string wished = safe_key(relative.replace_extension().string());
  std::string key = wished;
  for (int i = 2; !keys_.insert(key).second; ++i) key = wished + "_" + std::to_string(i);
  item.record.key = key;
  return item;
}

ImportItem* ImportList::find(const fs::path& image) {
  const auto it = by_path_.find(image.lexically_normal().string());
  return it == by_path_.end() ? nullptr : &items_[it->second];
}

std::string class_text(std::string_view name) {
  std::string text(name);
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

ImportRegion class_region(std::string_view name, const Box& box) {
  ImportRegion result;
  result.region.box = box;
  result.region.text = class_text(name);
  result.region.source = "human";
  if (result.region.text != name) result.region.extra["category"] = name;
  return result;
}

void add_caption(Record& record, std::string caption) {
  const size_t first = caption.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return;
  const size_t last = caption.find_last_not_of(" \t\r\n");
  caption = caption.substr(first, last - first + 1);
  if (record.caption.empty()) {
    record.caption = std::move(caption);
    return;
  }
  if (record.captions.empty()) record.captions.push_back(record.caption);
  record.captions.push_back(std::move(caption));
}

}  // namespace opencloc
