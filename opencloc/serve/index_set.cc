#include "opencloc/serve/index_set.h"

#include <algorithm>

#include "opencloc/base/error.h"

namespace opencloc::serve {
namespace {

std::string checked_name(const std::string& name) {
  const bool good = !name.empty() && name.size() <= 100 && name != "." && name != ".." &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
                    });
  if (good) return name;
  throw Error::input("'" + name + "' cannot be the name of an index in an address",
                     "setting 'index'", "use letters, digits, '-', '_' and '.'");
}

}  // namespace

ServedIndex::ServedIndex(const NamedIndex& index)
    : name_(checked_name(index.name)),
      path_(std::filesystem::absolute(index.path).lexically_normal()),
      reader_(path_),
      info_(reader_.info()),
      rows_(catalog_path(path_), Catalog::Mode::kRead) {}

IndexReader& ServedIndex::reader() {
  reader_.refresh();
  return reader_;
}

std::vector<PictureEntry> ServedIndex::pictures(std::span<const int64_t> ids) {
  const std::lock_guard lock(mutex_);
  return rows_.pictures(ids);
}

CatalogCounts ServedIndex::counts() {
  const std::lock_guard lock(mutex_);
  return rows_.counts();
}

std::optional<int64_t> ServedIndex::picture_of_digest(const std::string& digest) {
  const std::lock_guard lock(mutex_);
  return rows_.picture_of_digest(digest);
}

IndexSet::IndexSet(const std::vector<NamedIndex>& indexes) {
  for (const NamedIndex& index : indexes) {
    if (find(index.name) != nullptr)
      throw Error::input("two indexes have the name '" + index.name + "'", "setting 'index'");
    all_.push_back(std::make_unique<ServedIndex>(index));
  }
}

ServedIndex* IndexSet::find(const std::string& name) const {
  for (const auto& index : all_) {
    if (index->name() == name) return index.get();
  }
  return nullptr;
}

}  // namespace opencloc::serve
