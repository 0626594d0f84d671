// What importers fill: pictures with annotations in the dataset's own units.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "opencloc/data/record.h"

namespace opencloc {

struct ImportRegion {
  Region region;  // box: in pixels, or in [0, 1] if `in_unit`
  bool in_unit = false;
};

struct ImportItem {
  std::filesystem::path image;
  Record record;  // without picture and regions
  std::vector<ImportRegion> regions;
  // Size of the picture that the annotation's pixels count in; 0 = that of the picture itself.
  double width = 0;
  double height = 0;
};

// The pictures below a folder, found by the names and numbers that annotations use.
class PictureFinder {
 public:
  // Error (input) when `folder` is none.
  explicit PictureFinder(std::filesystem::path folder);

  // `name` relative to the folder or absolute, else its last part anywhere below the folder.
  std::optional<std::filesystem::path> find(std::string_view name) const;
  // The picture whose name ends with this number: 139 -> 000000000139.jpg.
  std::optional<std::filesystem::path> find_number(int64_t number) const;

  const std::filesystem::path& folder() const { return folder_; }
  // All pictures below the folder, sorted.
  const std::vector<std::filesystem::path>& all() const { return all_; }

 private:
  std::filesystem::path folder_;
  std::vector<std::filesystem::path> all_;
  std::unordered_map<std::string, size_t> by_name_;
  std::unordered_map<int64_t, size_t> by_number_;
};

class ImportList {
 public:
  explicit ImportList(const std::filesystem::path& images) : finder_(images) {}

  // The item of a picture, made if it is not there yet, with a key of its own.
  ImportItem& at(const std::filesystem::path& image);
  // Null when the picture is not in the list.
  ImportItem* find(const std::filesystem::path& image);

  const PictureFinder& pictures() const { return finder_; }
  std::deque<ImportItem>& items() { return items_; }

 private:
  PictureFinder finder_;
  std::deque<ImportItem> items_;
  std::unordered_map<std::string, size_t> by_path_;
  std::unordered_set<std::string> keys_;
};

// The class name as text: "traffic_light" -> "traffic light".
std::string class_text(std::string_view name);
// A region of a class: text = class_text(name); the name itself, where it differs, is kept in
// extra["category"].
ImportRegion class_region(std::string_view name, const Box& box);
// Appends a caption: the first one is the record's caption, and when there are several all of them
// are its captions. Empty ones are left out.
void add_caption(Record& record, std::string caption);

// The last digits of a name's stem: "COCO_val2014_000000000139" -> 139.
std::optional<int64_t> trailing_number(std::string_view stem);

}  // namespace opencloc
