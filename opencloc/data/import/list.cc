#include "opencloc/data/import/list.h"

#include <algorithm>
#include <utility>

#include "opencloc/base/text_file.h"

namespace opencloc {
namespace fs = std::filesystem;

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

ImportItem* ImportList::at(const FoundPicture& picture) {
  const size_t before = items_.size();
  ImportItem& item = at(picture.path);
  if (items_.size() > before) item.claim = picture.claim;
  if (item.claim == picture.claim) return item.rivals.empty() ? &item : nullptr;
  if (item.claim.empty()) {  // the picture is that of its own path
    const std::pair name(picture.claim, item.image.string());
    if (displaced_.empty() || displaced_.back() != name) displaced_.push_back(name);
    return nullptr;
  }
  if (picture.claim.empty()) {  // what the other names said of it was not meant for it
    displaced_.emplace_back(item.claim, item.image.string());
    for (auto& rival : item.rivals) displaced_.emplace_back(rival, item.image.string());
    ImportItem fresh;
    fresh.image = item.image;
    fresh.record.key = item.record.key;
    item = std::move(fresh);
    return &item;
  }
  if (std::find(item.rivals.begin(), item.rivals.end(), picture.claim) == item.rivals.end()) {
    item.rivals.push_back(picture.claim);
  }
  return nullptr;
}

ImportItem* ImportList::claim(std::string_view name, std::string_view where, SkipCounter& skips) {
  const FoundPicture picture = finder_.find(name);
  if (picture) return at(picture);
  skips.add(skip::kMissingImage, name, picture.why.empty() ? where : std::string_view(picture.why));
  return nullptr;
}

ImportItem* ImportList::holder(const FoundPicture& picture) {
  ImportItem* item = find(picture.path);
  return item != nullptr && item->claim == picture.claim && item->rivals.empty() ? item : nullptr;
}

ImportItem* ImportList::find(const fs::path& image) {
  const auto it = by_path_.find(image.lexically_normal().string());
  return it == by_path_.end() ? nullptr : &items_[it->second];
}

ImportItem* ImportList::by_id(const std::string& id) const {
  const auto it = ids_.find(id);
  return it == ids_.end() ? nullptr : it->second;
}

void ImportList::finish(SkipCounter& skips) {
  const auto count = [&](const std::string& name, const std::string& picture) {
    skips.add(skip::kMissingImage, name, "other names fit " + picture + ", too");
    ++left_out_;
  };
  std::sort(displaced_.begin(), displaced_.end());
  displaced_.erase(std::unique(displaced_.begin(), displaced_.end()), displaced_.end());
  for (const auto& [name, picture] : displaced_) count(name, picture);
  for (const auto& item : items_) {
    if (item.rivals.empty()) continue;
    count(item.claim, item.image.string());
    for (const auto& rival : item.rivals) count(rival, item.image.string());
  }
  std::erase_if(items_, [](const ImportItem& item) { return !item.rivals.empty(); });
  by_path_.clear();  // its numbers do not hold any more
  ids_.clear();
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

void add_choice(Record& record, const std::string& text, const Json& negatives,
                const std::string& kind) {
  Json choice{{"text", text}, {"negatives", negatives}};
  if (!kind.empty()) choice["kind"] = kind;
  record.extra["choices"].push_back(std::move(choice));
}

void add_caption(Record& record, std::string caption) {
  caption = std::string(trimmed(caption));
  if (caption.empty()) return;
  if (record.caption.empty()) {
    record.caption = std::move(caption);
    return;
  }
  if (record.captions.empty()) record.captions.push_back(record.caption);
  record.captions.push_back(std::move(caption));
}

}  // namespace opencloc
