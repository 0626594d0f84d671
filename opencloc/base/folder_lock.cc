#include "opencloc/base/folder_lock.h"

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/host_name.h"
#include "opencloc/base/log.h"
#include "opencloc/base/temporary.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

// Who works in the folder, as the lock file says: "OWNER process N on HOST". Empty: nobody.
struct Holder {
  std::string owner;  // owner_tag()
  std::string name;   // for messages
};

Holder holder_of(int file) {
  char text[512];
  const ssize_t length = ::pread(file, text, sizeof text, 0);
  if (length <= 0) return {};
  const std::string line(text, static_cast<size_t>(length));
  const size_t space = line.find(' ');
  if (space == std::string::npos) return {};
  return {line.substr(0, space), line.substr(space + 1, line.find('\n') - space - 1)};
}

// True when the file now says that this process works here.
bool write_holder(int file) {
  const std::string line =
      owner_tag() + " process " + std::to_string(::getpid()) + " on " + host_name() + '\n';
  return ::ftruncate(file, 0) == 0 &&
         ::pwrite(file, line.data(), line.size(), 0) == static_cast<ssize_t>(line.size());
}

// Of flock() on mounts that have no locks, or whose lock server cannot be reached.
bool has_no_locks(int error) {
  return error == ENOSYS || error == ENOLCK || error == EOPNOTSUPP || error == EINVAL;
}

[[noreturn]] void in_use(const fs::path& folder, const FolderWork& work, const Holder& holder) {
  throw Error::input("another process is " + work.does + " here" +
                         (holder.name.empty() ? "" : " (" + holder.name + ")"),
                     folder.string(), work.mend);
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder, const FolderWork& work) {
  const auto path = folder / ".lock";
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file_ < 0) {
    throw Error::failed("cannot write into the " + work.folder + " (" + errno_text() + ")",
                        folder.string(), "check rights and free space");
  }
  try {
    if (::flock(file_, LOCK_EX | LOCK_NB) == 0) {
      write_holder(file_);  // only for the message above: a full disk may refuse it
      return;
    }
    const int error = errno;
    const std::string reason = errno_text();
    const Holder holder = holder_of(file_);
    if (error == EWOULDBLOCK) in_use(folder, work, holder);
    if (!has_no_locks(error)) {
      throw Error::failed("cannot lock the " + work.folder + " (" + reason + ")", path.string(),
                          "check the file system");
    }
    certain_ = false;
    const std::string mine = owner_tag();
    const bool same_machine =
        !holder.owner.empty() && holder.owner.substr(0, 8) == mine.substr(0, 8);
    if (same_machine && !owner_is_gone(holder.owner)) in_use(folder, work, holder);
    log::warn("{}: this file system has no locks ({}): nothing keeps a second process from {} here",
              folder.string(), reason, work.does);
    if (!holder.owner.empty() && !same_machine) {
      log::warn("{}: the last one was {}, and did not end by itself: make sure that it is gone",
                folder.string(), holder.name);
    }
    if (!write_holder(file_)) {
      throw Error::failed("cannot write into the " + work.folder + " (" + errno_text() + ")",
                          path.string(), "check rights and free space");
    }
  } catch (...) {
    ::close(file_);
    throw;
  }
}

FolderLock::~FolderLock() {
  // A file that cannot be emptied names a process that is gone, which the next one sees.
  if (::ftruncate(file_, 0) != 0) log::debug("the lock file keeps its text: {}", errno_text());
  ::close(file_);
}

}  // namespace opencloc
