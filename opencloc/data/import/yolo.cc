// YOLO (darknet, ultralytics): a text file of boxes for each picture, class names in data.yaml,
// darknet's obj.data or a list.
//
// --annotations: one of these, or the folder of label files; without it one of them is looked for
// in and above --images.
#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <unordered_map>

#include "opencloc/base/files.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/import/annotations.h"
#include "opencloc/data/import/import.h"
#include "opencloc/data/import/yolo_names.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

fs::path find_names(const std::vector<fs::path>& folders) {
  for (const auto& folder : folders) {
    for (const char* name : {"data.yaml", "data.yml", "dataset.yaml", "obj.data", "classes.txt",
                             "obj.names", "labels.txt", "_darknet.labels"}) {
      if (fs::is_regular_file(folder / name)) return folder / name;
    }
  }
  throw Error::input("no class names found", folders.front().string(),
                     "name data.yaml or classes.txt with the setting 'annotations'");
}

bool is_list_of_names(const fs::path& path) {
  const std::string name = path.filename().string();
  return name == "classes.txt" || name == "labels.txt" || name == "train.txt" ||
         name == "val.txt" || name == "valid.txt" || name == "test.txt" ||
         name.starts_with("README") || name == "notes.txt";
}

// Where the label file of a picture may be.
class LabelFiles {
 public:
  LabelFiles(const ImportOptions& options, const PictureFinder& pictures, fs::path labels)
      : root_(options.images), labels_(std::move(labels)) {
    if (!options.annotations.empty()) {
      used_names_ = fs::absolute(options.annotations).lexically_normal();
    }
    for (const auto& picture : pictures.all()) ++stems_[picture.stem().string()];
  }

  // In the given folder, beside the picture, or where an "images" in its path is "labels".
  std::vector<fs::path> places(const fs::path& image) const {
    std::vector<fs::path> places;
    if (!labels_.empty()) {
      places.push_back(labels_ / image.lexically_relative(root_));
      // Two pictures of one name in two folders have no label file in common.
      if (stems_.at(image.stem().string()) == 1) places.push_back(labels_ / image.filename());
    }
    places.push_back(image);
    const std::string path = fs::absolute(image).string();
    for (size_t at = path.rfind("/images/"); at != std::string::npos && at > 0;
         at = path.rfind("/images/", at - 1)) {
      places.emplace_back(std::string(path).replace(at, 8, "/labels/"));
    }
    for (auto& place : places) place.replace_extension(".txt");
    return places;
  }

  std::optional<fs::path> find(const fs::path& image) {
    for (const auto& place : places(image)) {
      std::error_code ec;
      if (!fs::is_regular_file(place, ec) || is_list_of_names(place)) continue;
      used_.insert(fs::absolute(place).lexically_normal().string());
      folders_.insert(fs::absolute(place).lexically_normal().parent_path());
      return place;
    }
    return std::nullopt;
  }

  // Label files beside those that were used, whose pictures are not there.
  std::vector<fs::path> orphans() const {
    std::vector<fs::path> result;
    for (const auto& folder : folders_) {
      std::error_code ec;
      for (const auto& entry : fs::directory_iterator(folder, ec)) {
        const fs::path& path = entry.path();
        if (path.extension() != ".txt" || path.filename().string().starts_with('.')) continue;
        if (is_list_of_names(path) || path == used_names_) continue;
        if (!used_.contains(path.string())) result.push_back(path);
      }
    }
    std::sort(result.begin(), result.end());
    return result;
  }
  bool any_used() const { return !used_.empty(); }

 private:
  const fs::path root_;
  const fs::path labels_;
  fs::path used_names_;  // the list of names that was given may lie among the label files
  std::unordered_map<std::string, int> stems_;
  std::set<std::string> used_;
  std::set<fs::path> folders_;
};

// Lines that could be two things wait for what the other lines are.
struct Doubtful {
  ImportItem* item;
  YoloLine line;
  std::string where;
};

class YoloReader {
 public:
  YoloReader(const YoloNames& names, SkipCounter& skips) : names_(names), skips_(skips) {}

  void read(const fs::path& path, ImportItem& item) {
    for_each_line(path, skips_, [&](std::string_view text, const std::string& where) {
      YoloLine line = parse_yolo_line(text, names_.form);
      if (!line.problem.empty()) {
        skips_.add(skip::kBadAnnotation, where, line.problem);
      } else if (line.class_number >= names_.names.size() ||
                 names_.names[line.class_number].empty()) {
        skips_.add(skip::kBadAnnotation, where,
                   "class " + std::to_string(line.class_number) + " has no name in " +
                       names_.path.string());
      } else if (line.is_doubtful) {
        doubtful_.push_back({&item, line, where});
      } else {
        tracks_ += line.track || line.score < 1 ? 1 : 0;
        polygons_ += line.is_polygon ? 1 : 0;
        if (line.is_polygon && line.score < 1) {
          skips_.note("last of an odd count of numbers is taken for a polygon's score", where);
        }
        add(line, item);
      }
    });
  }

  // A box with score and track, where the other lines have them; a triangle, where they are
  // polygons; else the line is counted.
  void finish() {
    for (auto& [item, line, where] : doubtful_) {
      if (tracks_ > 0 && polygons_ == 0) {
        add(line, *item);
      } else if (polygons_ > 0 && tracks_ == 0) {
        line.box = line.triangle;
        line.score = 1;
        line.track.reset();
        add(line, *item);
      } else {
        skips_.add(skip::kBadAnnotation, where,
                   "could be a triangle, or a box with score and track");
      }
    }
  }

 private:
  void add(const YoloLine& line, ImportItem& item) {
    ImportRegion region = class_region(names_.names[line.class_number], line.box);
    region.in_unit = true;
    region.region.score = line.score;
    if (line.track) region.region.extra["track"] = static_cast<int64_t>(*line.track);
    item.regions.push_back(std::move(region));
  }

  const YoloNames& names_;
  SkipCounter& skips_;
  std::deque<Doubtful> doubtful_;
  int64_t tracks_ = 0;    // lines that have a score or a track for sure
  int64_t polygons_ = 0;  // lines that are polygons for sure
};

}  // namespace

void import_yolo(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  const fs::path& given = options.annotations;
  if (!given.empty()) {
    require_annotations(given, "data.yaml, obj.data, classes.txt or the labels folder");
  }
  const fs::path labels = fs::is_directory(given) ? given : fs::path();
  const fs::path above = fs::absolute(options.images / "").parent_path().parent_path();
  const fs::path names_file =
      fs::is_regular_file(given) ? given
      : labels.empty()           ? find_names({options.images, above, above.parent_path()})
                       : find_names({labels, fs::absolute(labels / "").parent_path().parent_path(),
                                     options.images, above});
  const YoloNames names = read_yolo_names(names_file, skips);
  LabelFiles files(options, list.pictures(), labels);
  YoloReader reader(names, skips);
  for (const auto& image : list.pictures().all()) {
    ImportItem& item = list.at(image);
    // No label file is YOLO's way to say: nothing in this picture.
    if (const auto path = files.find(image)) reader.read(*path, item);
  }
  reader.finish();
  for (const auto& orphan : files.orphans()) {
    skips.add(skip::kMissingImage, orphan.stem().string(), "of the label file " + orphan.string());
  }
  if (!files.any_used() && !list.items().empty()) {
    std::string looked;
    for (const auto& place : files.places(list.items().front().image)) {
      looked += (looked.empty() ? "" : ", ") + place.string();
    }
    skips.note("not one picture has a label file",
               std::to_string(list.items().size()) + " pictures", "looked for " + looked);
  }
}

}  // namespace opencloc
