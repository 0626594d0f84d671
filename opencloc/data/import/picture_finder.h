// The pictures below a folder, found by the names that annotations use. A name fits a picture when
// it is its path below the folder, or when one of the two ends with the other, part by part:
// "/mnt/data/cats/1.jpg" fits cats/1.jpg, "1.jpg" fits cats/1.jpg, "dogs/1.jpg" does not. It never
// fits by its number or its last part alone, and where it fits two pictures it fits none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace opencloc {

struct FoundPicture {
  std::filesystem::path path;  // empty: not found
  // The name it was found by, when that is not its path below the folder; else empty.
  std::string claim;
  std::string why;  // it was not found, where there is more to say than that it is not there

  explicit operator bool() const { return !path.empty(); }
};

class PictureFinder {
 public:
  // Error (input) when `folder` is none.
  explicit PictureFinder(std::filesystem::path folder);

  // Names may be relative to the folder, absolute, those of another machine, Windows paths, URLs.
  FoundPicture find(std::string_view name) const;
  // The picture whose whole name is this number: 139 -> 139.jpg, 000000000139.jpg or
  // COCO_val2014_000000000139.jpg. For annotations that have nothing but a number.
  FoundPicture find_numbered(int64_t number) const;
  // "images/a" of images/a.jpg among pictures in exactly that place; for names without an ending.
  FoundPicture find_stem(const std::filesystem::path& below) const;

  const std::filesystem::path& folder() const { return folder_; }
  // All pictures below the folder, sorted.
  const std::vector<std::filesystem::path>& all() const { return all_; }
  // The path below the folder, with '/'.
  std::string_view relative(size_t picture) const;

 private:
  FoundPicture find_name(const std::string& name) const;
  bool lies_beside(const std::string& name, std::string_view tail) const;

  std::filesystem::path folder_;
  std::vector<std::filesystem::path> all_;
  std::unordered_multimap<std::string, size_t> by_name_;
  std::unordered_multimap<int64_t, size_t> by_number_;
};

// Calls visit(path) for the files below a folder. Links are followed, but not to a folder that they
// lie in; names that begin with a dot and the folders that systems add (__MACOSX, @eaDir) are
// passed over.
void for_each_file_below(const std::filesystem::path& folder,
                         const std::function<void(const std::filesystem::path&)>& visit);

// The ending in lower case, without its dot.
std::string lower_extension(const std::filesystem::path& path);

}  // namespace opencloc
