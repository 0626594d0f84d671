#include "opencloc/search/picture_files.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <unordered_map>

#include <sys/stat.h>

#include "opencloc/data/import/picture_finder.h"
#include "opencloc/data/remote/remote_names.h"

namespace opencloc {
namespace fs = std::filesystem;

std::string absolute_name(const std::string& path) {
  return is_remote(path) ? path : fs::absolute(path).lexically_normal().string();
}

FileState state_of(const std::string& path) {
  struct stat info {};
  if (is_remote(path) || ::stat(path.c_str(), &info) != 0) return {};
  return {info.st_size, int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

size_t end_of_shard(const std::string& name) {
  for (const std::string_view ending : {".tar#", ".tar.gz#", ".tar.zst#"}) {
    const size_t at = name.find(ending);
    if (at != name.npos) return at + ending.size() - 1;
  }
  return name.rfind('#');
}

std::string file_of(const PictureName& name) {
  if (name.sample < 0) return name.name;
  return name.name.substr(0, end_of_shard(name.name));
}

std::vector<std::string> missing_names(PictureCatalog& catalog) {
  std::map<std::string, bool> there;  // each shard is looked for once
  std::vector<std::string> missing;
  for (const PictureName& name : catalog.names()) {
    const std::string file = file_of(name);
    const auto [at, is_new] = there.emplace(file, true);
    if (is_new) at->second = is_remote(file) || fs::exists(file);
    if (!at->second) missing.push_back(name.name);
  }
  return missing;
}

std::vector<PictureFile> picture_files(const std::vector<std::string>& images,
                                       const std::vector<PictureFile>& with_boxes) {
  std::vector<PictureFile> files;
  std::unordered_map<std::string, size_t> place;
  const auto add = [&](const std::string& path, const std::vector<SourceRegion>& regions) {
    const std::string name = absolute_name(path);
    const auto [at, is_new] = place.emplace(name, files.size());
    if (is_new) files.push_back({name, {}});
    auto& own = files[at->second].regions;
    own.insert(own.end(), regions.begin(), regions.end());
  };
  for (const auto& path : images) {
    if (!fs::is_directory(path)) {
      add(path, {});
      continue;
    }
    std::vector<std::string> below;
    for_each_file_below(path, [&](const fs::path& file) {
      if (is_picture_extension(lower_extension(file))) below.push_back(file.string());
    });
    std::sort(below.begin(), below.end());
    for (const auto& file : below) add(file, {});
  }
  for (const PictureFile& file : with_boxes) add(file.path, file.regions);
  return files;
}

}  // namespace opencloc
