// The indexes that are served, by name.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "opencloc/index/index_reader.h"

namespace opencloc::serve {

struct NamedIndex {
  std::string name;  // letters, digits, '-', '_' and '.'
  std::string path;
};

class ServedIndex {
 public:
  // Throws Error (input) for what is no index, and for a name that cannot stand in an address.
  explicit ServedIndex(const NamedIndex& index);

  const std::string& name() const { return name_; }
  const IndexInfo& info() const { return info_; }
  const std::filesystem::path& path() const { return path_; }

  // For the compute thread alone: with all that was committed until now, by any process.
  IndexReader& reader();

  // Thread-safe, in one statement for all; those that are not there are left out.
  std::vector<PictureEntry> pictures(std::span<const int64_t> ids);
  CatalogCounts counts();
  std::optional<int64_t> picture_of_digest(const std::string& digest);

 private:
  const std::string name_;
  const std::filesystem::path path_;
  IndexReader reader_;
  const IndexInfo info_;
  std::mutex mutex_;
  Catalog rows_;
};

class IndexSet {
 public:
  explicit IndexSet(const std::vector<NamedIndex>& indexes);
  // Null when there is none of this name.
  ServedIndex* find(const std::string& name) const;
  const std::vector<std::unique_ptr<ServedIndex>>& all() const { return all_; }

 private:
  std::vector<std::unique_ptr<ServedIndex>> all_;
};

}  // namespace opencloc::serve
