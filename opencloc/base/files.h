// Files: reading, mapping, writing whole or not at all, and globs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

// Reads a whole file. Error (input) when it is missing, a folder, or longer than `max_bytes`.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{1} << 36);

// Opens for reading; the caller closes. Error (input) for folders and missing files, Error (failed)
// where the process is out of file descriptors.
int open_for_reading(const std::filesystem::path& path);

// A read-only memory map of a whole file. An empty file maps to an empty span.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// A file that appears under its name only once it is complete: written beside under a name of its
// own (temporary_beside), fsynced, renamed. Destroyed without commit(): the temporary file is
// removed.
// All write errors (disk full, ...) throw Error (failed) and leave no file behind.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::string_view bytes);
  void write(const void* data, size_t size);
  uint64_t size() const { return size_; }
  // Writes everything to the disk. After it only the renaming can fail.
  void finish();
  // finish(), where that was not done, and the name.
  void commit();

 private:
  [[noreturn]] void fail(const char* action);
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  bool finished_ = false;
  uint64_t size_ = 0;
  std::string buffer_;
  void flush();
};

// Writes a whole file atomically; creates the parent folders.
void write_file(const std::filesystem::path& path, std::string_view bytes);

// A folder that appears only once complete: `fill` writes into a temporary sibling, which is then
// fsynced and renamed to `path` (an older folder there is replaced: publish_folder).
void write_folder(const std::filesystem::path& path,
                  const std::function<void(const std::filesystem::path&)>& fill);

// Flushes a file or folder to disk. Does nothing on file systems that cannot.
void fsync_path(const std::filesystem::path& path);
// The same for an open file. False, with errno set, when it failed.
bool flush_to_disk(int file);

// Lets this process have as many files open as the system allows it.
void raise_open_file_limit();

// Expands "a/*.tar::b/{00..03}.tar": '::' separates patterns, *, ?, [] match within a path part,
// {00..12} counts as in webdataset, {a,b} lists. A pattern that names a folder means all shards
// (*.tar, *.tar.gz, *.tar.zst) in it; of a set that is just being replaced (publish_files), the new
// ones. Sorted within a pattern. Error (input) when a pattern matches nothing, or names single
// shards of a set that is being replaced. A name or glob that braces or '::' list and that is not
// there goes into `missing`, or is an Error (input) without it.
std::vector<std::string> expand_glob(std::string_view patterns,
                                     std::vector<std::string>* missing = nullptr);
// {00..12} and {a,b} of one pattern; kRanges leaves every other pair of braces as it is, as
// commands of the shell need it.
enum class Braces { kAll, kRanges };
std::vector<std::string> expand_braces(const std::string& pattern, Braces which = Braces::kAll);
// The patterns of "A::B" before expansion.
std::vector<std::string> split_patterns(std::string_view patterns);

}  // namespace opencloc
