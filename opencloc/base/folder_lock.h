// One process at a time in a folder.
#pragma once

#include <filesystem>
#include <string>

namespace opencloc {

// What a process does in a folder that it has for itself, for messages.
struct FolderWork {
  std::string does = "training";
  std::string folder = "run directory";
  std::string mend = "wait for it, or name another folder for the setting 'out'";
};

// Held by ".lock" in the folder, for as long as the object lives. Where the file system has no
// locks (some Lustre, NFS and FUSE mounts), the file says which process works there: another one of
// this machine is seen, one of another machine is only warned of.
class FolderLock {
 public:
  // Throws Error (input) when another process works in the folder, Error (failed) when the file
  // cannot be written.
  explicit FolderLock(const std::filesystem::path& folder, const FolderWork& work = {});
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  // False where the file system has no locks.
  bool is_certain() const { return certain_; }

 private:
  int file_ = -1;
  bool certain_ = true;
};

}  // namespace opencloc
