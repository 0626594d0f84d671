// Boxes and masks that another detector found, read from files: they take the place of a
// detector's run in the data engine.
//
// Lines of JSON, one per box or one per picture:
//   {"image": "a/1.jpg", "box": [0.1, 0.2, 0.5, 0.9], "text": "red bus", "score": 0.83}
//   {"key": "000000012", "regions": [{"bbox_xyxy": [10, 20, 50, 90], "text": "dog"}, ...]}
//   {"image": "1.jpg", "boxes": [[10, 20, 50, 90]], "scores": [0.9], "text_labels": ["dog"]}
// COCO's results, a list of
//   {"image_id": 139, "category_id": 62, "bbox": [x, y, width, height], "score": 0.7}
// and COCO's data sets with "images", "categories" and "annotations". In all of them:
//   picture  key; image, file_name, ... (names of data/import/rows.h); image_id
//   box      "box" in [0, 1]; in pixels "bbox" [x, y, width, height] and "bbox_xyxy" or an entry of
//            "boxes", corners; "segmentation" or "mask": the box around it (data/import/mask_box.h)
//   text     text, phrase, text_label, label, category, category_name, class, name; category_id
//   score    1 without one; "source": who made it; width, height: the size its pixels count in
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "opencloc/data/shard/skips.h"
#include "opencloc/label/stage.h"

namespace opencloc {

struct GivenBoxesOptions {
  std::vector<std::filesystem::path> files;
  std::filesystem::path annotations;  // COCO file: "images" and "categories" of results; or empty
  std::string labeller;  // of boxes that do not say who made them; empty: their file's name
};

struct GivenBox {
  Box box;  // in [0, 1], or pixels of width x height (0: of the picture)
  bool in_unit = false;
  float width = 0;
  float height = 0;
  std::string text;
  float score = 1;
  size_t source = 0;  // place in sources()
};

struct GivenPicture {
  std::string name;  // as the file calls it
  std::vector<GivenBox> boxes;
  std::string taken_by;  // the first sample it was
};

// Not thread-safe. Memory: about 100 bytes per box and 200 per picture.
class GivenBoxes {
 public:
  // Boxes that cannot be used are counted in `skips`, by FILE:LINE or FILE[number]. Throws Error
  // (input) when a file cannot be read, or not one box of it can be used.
  GivenBoxes(const GivenBoxesOptions& options, SkipCounter& skips);

  // What the files say of a sample; nothing when they do not name it. A sample is known by its
  // key; by a file name that ends with its key, folder by folder, without the extension; by the
  // "image_id" that an import left in it, or without one by the number that its key is.
  // Two names of equal standing fit none, which is counted.
  std::vector<GivenPicture*> find(const LabelSample& sample, SkipCounter& skips);

  int64_t boxes_read() const { return read_; }  // those that cannot be used among them
  int64_t pictures() const { return static_cast<int64_t>(pictures_.size()); }
  // Names of pictures that find() has not given.
  std::vector<std::string> not_taken() const;
  const std::vector<std::string>& sources() const { return sources_; }
  // Names and checksums of the files.
  Json config() const { return files_; }

 private:
  friend class GivenBoxReader;

  size_t source(const std::string& name);

  std::vector<GivenPicture> pictures_;
  std::unordered_map<std::string, size_t> by_key_;
  std::unordered_map<std::string, size_t> by_id_;
  // The last part of a name -> the whole name as a key, and whose it is.
  std::unordered_multimap<std::string, std::pair<std::string, size_t>> by_name_;
  std::vector<std::string> sources_;
  Json files_ = Json::array();
  int64_t read_ = 0;
};

// In place of detect_stage(): boxes of the files with a score of at least `threshold` become the
// record's "candidates", placed in the picture and clipped to it. Counts go to the shard's report,
// and names into `skips`. `boxes` and `skips` must live as long as the stage.
std::unique_ptr<Stage> given_boxes_stage(std::shared_ptr<GivenBoxes> boxes, float threshold,
                                         SkipCounter& skips);

}  // namespace opencloc
