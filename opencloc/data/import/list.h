// What importers fill: pictures with annotations in the dataset's own units.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "opencloc/data/import/picture_finder.h"
#include "opencloc/data/shard/record.h"
#include "opencloc/data/shard/skips.h"

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

  // By which name the annotations call the picture (FoundPicture::claim). Two names that fit the
  // same picture are two pictures, of which at least one is missing: it is left out.
  std::string claim = {};
  std::vector<std::string> rivals = {};
};

class ImportList {
 public:
  explicit ImportList(const std::filesystem::path& images) : finder_(images) {}

  // The item of a picture, made if it is not there yet, with a key of its own. Null when the
  // picture was called by another name before; then both names are missing, or only the one that
  // is not the picture's path. finish() counts them.
  ImportItem* at(const FoundPicture& picture);
  // The item of a picture by its path: for lists that are made from the pictures themselves.
  ImportItem& at(const std::filesystem::path& image);
  // Finds and takes a picture. One that is missing is counted by its name; then null.
  ImportItem* claim(std::string_view name, std::string_view where, SkipCounter& skips);

  // The item that at() gave, unless the picture has been taken by another name since.
  ImportItem* holder(const FoundPicture& picture);
  // Null when the picture is not in the list.
  ImportItem* find(const std::filesystem::path& image);

  // Ids of pictures, in the form of json_id(): for rows that name a picture by its id alone.
  void set_id(const std::string& id, ImportItem* item) { ids_[id] = item; }
  bool has_ids() const { return !ids_.empty(); }
  ImportItem* by_id(const std::string& id) const;

  // Counts pictures that were called by several names, and takes them out. After all else.
  void finish(SkipCounter& skips);

  const PictureFinder& pictures() const { return finder_; }
  std::deque<ImportItem>& items() { return items_; }
  // Pictures that annotations name and that are not there, as finish() leaves them out.
  int64_t left_out() const { return left_out_; }

 private:
  PictureFinder finder_;
  std::deque<ImportItem> items_;
  std::unordered_map<std::string, size_t> by_path_;
  std::unordered_map<std::string, ImportItem*> ids_;
  std::unordered_set<std::string> keys_;
  std::vector<std::pair<std::string, std::string>> displaced_;  // name, path of the picture
  int64_t left_out_ = 0;
};

// The class name as text: "traffic_light" -> "traffic light".
std::string class_text(std::string_view name);
// A region of a class: text = class_text(name); the name itself, where it differs, is kept in
// extra["category"].
ImportRegion class_region(std::string_view name, const Box& box);
// Appends a right text with wrong ones for the picture to record.extra["choices"], as evaluation
// reads them. `kind` may be empty.
void add_choice(Record& record, const std::string& text, const Json& negatives,
                const std::string& kind);
// Appends a caption: the first one is the record's caption, and when there are several all of them
// are its captions. Empty ones are left out.
void add_caption(Record& record, std::string caption);

}  // namespace opencloc
