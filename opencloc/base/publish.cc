#include "opencloc/base/publish.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>
#include <string_view>

#include <fcntl.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/temporary.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kReplacedEnd = ".replaced";
constexpr const char* kManifest = "manifest";

fs::path parent_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

fs::path without_slash(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

fs::path replaced_name(const fs::path& target) {
  return target.parent_path() / ('.' + target.filename().string() + std::string(kReplacedEnd));
}

bool is_there(const fs::path& path) {
  std::error_code ignored;  // what cannot be looked at cannot be used either
  return fs::exists(fs::symlink_status(path, ignored));
}

[[noreturn]] void cannot_move(const fs::path& target) {
  throw Error::failed("cannot move into place (" + errno_text() + ")", target.string(),
                      "check rights and free space");
}

void move(const fs::path& from, const fs::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) cannot_move(to);
}

// Removes a folder that nobody needs. NFS keeps files that others have open, and with them the
// folder: then it is at least out of the way, under a temporary name.
void discard(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error && is_there(folder))
    std::rename(folder.c_str(), temporary_beside(folder).c_str());  // a name that is free
}

// "+00000.tar" for files of the new set, "-00007.tar" for old ones to be removed.
struct SetManifest {
  std::vector<std::string> names, old_names;
};

SetManifest read_manifest(const fs::path& folder) {
  SetManifest manifest;
  const std::string text = read_file(folder / kPublishedSet / kManifest);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string name = text.substr(begin + 1, end - begin - 1);
    if (text[begin] == '+') manifest.names.push_back(name);
    if (text[begin] == '-') manifest.old_names.push_back(name);
    begin = end + 1;
  }
  return manifest;
}

}  // namespace

void publish_folder(const fs::path& complete, const fs::path& given) {
  const fs::path target = without_slash(given);
  // rename() alone replaces only empty folders.
  if (std::rename(complete.c_str(), target.c_str()) == 0) return fsync_path(parent_of(target));
  if (errno != ENOTEMPTY && errno != EEXIST) cannot_move(target);
  if (::renameat2(AT_FDCWD, complete.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
    fsync_path(parent_of(target));
    discard(complete);
    return;
  }
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) cannot_move(target);
  const fs::path aside = replaced_name(target);
  if (is_there(aside)) discard(aside);  // older than the target
  move(target, aside);
  if (std::rename(complete.c_str(), target.c_str()) != 0) {
    const int reason = errno;
    std::rename(aside.c_str(), target.c_str());  // else recover_folder() does it
    errno = reason;
    cannot_move(target);
  }
  fsync_path(parent_of(target));
  discard(aside);
}

void recover_folder(const fs::path& given) {
  const fs::path target = without_slash(given), aside = replaced_name(target);
  if (!is_there(aside)) return;
  if (is_there(target)) {
    discard(aside);
  } else {
    move(aside, target);
  }
}

void recover_folders(const fs::path& parent) {
  if (!fs::is_directory(parent)) return;
  std::vector<fs::path> targets;
  for (const auto& entry : fs::directory_iterator(parent)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.') && name.ends_with(kReplacedEnd))
      targets.push_back(parent / name.substr(1, name.size() - 1 - kReplacedEnd.size()));
  }
  for (const auto& target : targets) recover_folder(target);
}

fs::path current_folder(const fs::path& path) {
  const fs::path target = without_slash(path);
  if (target.empty() || is_there(target)) return path;
  const fs::path aside = replaced_name(target);
  return is_there(aside) ? aside : path;
}

void publish_files(const fs::path& staged, const fs::path& folder,
                   const std::vector<std::string>& names,
                   const std::vector<std::string>& old_names) {
  std::string manifest;
  for (const auto& name : names) manifest += '+' + name + '\n';
  for (const auto& name : old_names) manifest += '-' + name + '\n';
  write_file(staged / kManifest, manifest);
  finish_publishing(folder);
  move(staged, folder / kPublishedSet);
  fsync_path(folder);
  finish_publishing(folder);
}

void finish_publishing(const fs::path& folder) {
  const fs::path set = folder / kPublishedSet;
  if (!is_there(set)) return;
  if (is_publishing(folder)) {
    const SetManifest manifest = read_manifest(folder);
    for (const auto& name : manifest.names) {
      const bool moved = std::rename((set / name).c_str(), (folder / name).c_str()) == 0;
      if (!moved && errno != ENOENT) cannot_move(folder / name);
    }
    for (const auto& name : manifest.old_names) {
      if (std::remove((folder / name).c_str()) != 0 && errno != ENOENT) cannot_move(folder / name);
    }
    fsync_path(folder);
    std::remove((set / kManifest).c_str());  // the set is in place; the rest is tidying
  }
  discard(set);
}

bool is_publishing(const fs::path& folder) { return is_there(folder / kPublishedSet / kManifest); }

std::vector<fs::path> published_files(const fs::path& folder, std::vector<std::string> names) {
  const SetManifest manifest = read_manifest(folder);
  std::set<std::string> all(names.begin(), names.end());
  for (const auto& name : manifest.old_names) all.erase(name);
  all.insert(manifest.names.begin(), manifest.names.end());
  const std::set<std::string> fresh(manifest.names.begin(), manifest.names.end());
  std::vector<fs::path> paths;
  for (const auto& name : all) {
    const fs::path staged = folder / kPublishedSet / name;
    paths.push_back(fresh.contains(name) && is_there(staged) ? staged : folder / name);
  }
  return paths;
}

}  // namespace opencloc
