#include "opencloc/base/files.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <glob.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/publish.h"
#include "opencloc/base/temporary.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr int64_t kMaxRange = 1'000'000;  // of {000..123}

// A process that is out of file descriptors says nothing about the file.
[[noreturn]] void cannot_open(const fs::path& path) {
  if (errno == EMFILE || errno == ENFILE) {
    throw Error::failed("cannot open (" + errno_text() + ")", path.string(),
                        "raise the limit (ulimit -n), or make larger shards");
  }
  throw Error::input("cannot open (" + errno_text() + ")", path.string(), "check the path");
}

int open_and_look(const fs::path& path, struct stat& info) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) cannot_open(path);
  if (::fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
    ::close(fd);
    throw Error::input("is a folder, a file was expected", path.string(), "name a file");
  }
  return fd;
}

bool is_count(std::string_view text) {
  return !text.empty() && text.size() < 12 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "00..12"
bool is_range(std::string_view body) {
  const size_t dots = body.find("..");
  return dots != std::string_view::npos && is_count(body.substr(0, dots)) &&
         is_count(body.substr(dots + 2));
}

std::vector<std::string> match(const std::string& pattern) {
  glob_t found{};
  const int rc = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> paths;
  if (rc == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  return paths;
}

bool is_shard(const std::string& name) {
  return name.ends_with(".tar") || name.ends_with(".tar.gz") || name.ends_with(".tar.zst") ||
         name.ends_with(".tgz");
}

// The shards of a folder, sorted.
std::vector<std::string> shards_in(const fs::path& folder) {
  std::vector<std::string> names, shards;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (is_shard(name) && !name.starts_with('.')) names.push_back(name);
  }
  if (is_publishing(folder)) {
    for (const auto& path : published_files(folder, names)) shards.push_back(path.string());
  } else {
    for (const auto& name : names) shards.push_back((folder / name).string());
    std::sort(shards.begin(), shards.end());
  }
  return shards;
}

// Shards beside others of which some are old and some are new. `looked_at` is the folder of the
// last one, so that each is looked at once.
void refuse_half_replaced(const fs::path& shard, fs::path& looked_at) {
  const fs::path folder = shard.has_parent_path() ? shard.parent_path() : fs::path(".");
  if (folder == looked_at || !is_shard(shard.filename().string())) return;
  looked_at = folder;
  if (!is_publishing(folder)) return;
  throw Error::input(
      "the shards beside it are being replaced, or who did it was killed", shard.string(),
      "name the folder, which gives the new ones; whoever writes there next ends it");
}

}  // namespace

int open_for_reading(const fs::path& path) {
  struct stat info {};
  return open_and_look(path, info);
}

std::string read_file(const fs::path& path, uint64_t max_bytes) {
  struct stat info {};
  const int fd = open_and_look(path, info);
  std::string bytes;
  if (info.st_size > 0) bytes.reserve(std::min<uint64_t>(info.st_size, max_bytes));
  std::vector<char> chunk(kBufferBytes);
  while (true) {
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got == 0) break;
    if (got < 0) {
      if (errno == EINTR) continue;
      const std::string reason = errno_text();
      ::close(fd);
      throw Error::input("cannot read (" + reason + ")", path.string(), "check the file");
    }
    bytes.append(chunk.data(), static_cast<size_t>(got));
    if (bytes.size() > max_bytes) {
      ::close(fd);
      throw Error::input("file is longer than " + std::to_string(max_bytes) + " bytes",
                         path.string(), "check the file");
    }
  }
  ::close(fd);
  return bytes;
}

MappedFile::MappedFile(const fs::path& path) {
  struct stat info {};
  const int fd = open_and_look(path, info);
  size_ = static_cast<size_t>(info.st_size);
  if (size_ > 0) {
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED) {
      const std::string reason = errno_text();
      ::close(fd);
      throw Error::input("cannot map (" + reason + ")", path.string(), "check the file");
    }
    data_ = static_cast<const std::byte*>(mapped);
  }
  ::close(fd);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
  std::error_code ignored;  // open() below reports why the folder cannot be written
  if (path_.has_parent_path()) fs::create_directories(path_.parent_path(), ignored);
  do {
    temporary_ = temporary_beside(path_);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  } while (fd_ < 0 && errno == EEXIST);
  if (fd_ < 0) {
    throw Error::failed("cannot create (" + errno_text() + ")", path_.string(),
                        "check folder, rights and free space");
  }
  buffer_.reserve(kBufferBytes);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (fd_ >= 0 || finished_) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* action) {
  const std::string reason = errno_text();
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  finished_ = false;
  ::unlink(temporary_.c_str());
  throw Error::failed(std::string("cannot ") + action + " (" + reason + ")", path_.string(),
                      "check free space and rights; nothing was left half-written");
}

void AtomicFile::write(const void* data, size_t size) {
  write(std::string_view(static_cast<const char*>(data), size));
}

void AtomicFile::write(std::string_view bytes) {
  size_ += bytes.size();
  buffer_.append(bytes);
  if (buffer_.size() >= kBufferBytes) flush();
}

void AtomicFile::flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t wrote = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (wrote < 0) {
      if (errno == EINTR) continue;
      fail("write");
    }
    done += static_cast<size_t>(wrote);
  }
  buffer_.clear();
}

void AtomicFile::finish() {
  flush();
  if (!flush_to_disk(fd_)) fail("flush to disk");
  if (::close(fd_) != 0) {
    fd_ = -1;
    fail("close");
  }
  fd_ = -1;
  finished_ = true;
}

void AtomicFile::commit() {
  if (!finished_) finish();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename into place");
  finished_ = false;
  fsync_path(path_.has_parent_path() ? path_.parent_path() : fs::path("."));
}

void write_file(const fs::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_folder(const fs::path& path, const std::function<void(const fs::path&)>& fill) {
  const fs::path target = path.has_filename() ? path : path.parent_path();
  std::error_code ec;
  if (target.has_parent_path()) fs::create_directories(target.parent_path(), ec);
  fs::path temporary;
  do {
    temporary = temporary_beside(target);
  } while (!fs::create_directory(temporary, ec) && !ec);
  if (ec)
    throw Error::failed("cannot create folder (" + ec.message() + ")", temporary.string(),
                        "check rights and free space");
  try {
    fill(temporary);
    for (const auto& entry : fs::recursive_directory_iterator(temporary)) fsync_path(entry.path());
    fsync_path(temporary);
    recover_folder(target);
    publish_folder(temporary, target);
  } catch (...) {
    fs::remove_all(temporary, ec);
    throw;
  }
}

void fsync_path(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw Error::failed("cannot open for flushing (" + errno_text() + ")", path.string());
  const bool done = flush_to_disk(fd);
  const std::string reason = errno_text();
  ::close(fd);
  if (!done) throw Error::failed("cannot flush to disk (" + reason + ")", path.string());
}

bool flush_to_disk(int file) {
  while (::fsync(file) != 0) {
    if (errno == EINTR) continue;
    return errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP;  // nothing to flush with
  }
  return true;
}

void raise_open_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // where refused, opening too many files says so
}

std::vector<std::string> split_patterns(std::string_view patterns) {
  std::vector<std::string> result;
  while (true) {
    const size_t at = patterns.find("::");
    const auto part = patterns.substr(0, at);
    if (part.empty())
      throw Error::input("empty data pattern", "'" + std::string(patterns) + "'",
                         "write GLOB[::GLOB...]");
    result.emplace_back(part);
    if (at == std::string_view::npos) return result;
    patterns.remove_prefix(at + 2);
  }
}

std::vector<std::string> expand_braces(const std::string& pattern, Braces which) {
  const size_t open = pattern.find('{');
  if (open == std::string::npos) return {pattern};
  const size_t close = pattern.find('}', open);
  if (close == std::string::npos) {
    if (which == Braces::kRanges) return {pattern};
    throw Error::input("'{' without '}'", pattern, "write {000..123} or {a,b}");
  }
  const std::string head = pattern.substr(0, open);
  const std::string body = pattern.substr(open + 1, close - open - 1);
  const std::string tail = pattern.substr(close + 1);
  std::vector<std::string> choices;
  if (which == Braces::kRanges && !is_range(body)) {
    choices.push_back('{' + body + '}');
  } else if (const size_t dots = body.find(".."); dots != std::string::npos) {
    const std::string first = body.substr(0, dots);
    const std::string last = body.substr(dots + 2);
    if (!is_count(first) || !is_count(last)) {
      throw Error::input("bad number range '{" + body + "}'", pattern, "write {000..123}");
    }
    const int64_t begin = std::stoll(first), end = std::stoll(last);
    if (end - begin >= kMaxRange) {
      throw Error::input("number range '{" + body + "}' is too long", pattern,
                         "a pattern may name " + std::to_string(kMaxRange) + " files at most");
    }
    for (int64_t i = begin; i <= end; ++i) {
      std::string number = std::to_string(i);
      if (number.size() < first.size()) number.insert(0, first.size() - number.size(), '0');
      choices.push_back(std::move(number));
    }
  } else {
    size_t start = 0;
    while (true) {
      const size_t comma = body.find(',', start);
      choices.push_back(body.substr(start, comma == std::string::npos ? comma : comma - start));
      if (comma == std::string::npos) break;
      start = comma + 1;
    }
  }
  std::vector<std::string> result;
  for (const auto& choice : choices) {
    const std::string front = head + choice;
    for (const auto& rest : expand_braces(tail, which)) result.push_back(front + rest);
  }
  return result;
}

std::vector<std::string> expand_glob(std::string_view patterns, std::vector<std::string>* missing) {
  std::vector<std::string> result, absent;
  fs::path looked_at;
  for (const auto& pattern : split_patterns(patterns)) {
    const size_t before = result.size();
    for (const auto& plain : expand_braces(pattern)) {
      const size_t before_this = result.size();
      if (fs::is_directory(plain)) {
        const auto shards = shards_in(plain);
        result.insert(result.end(), shards.begin(), shards.end());
      } else if (fs::exists(plain)) {  // also names that hold glob's own characters
        result.push_back(plain);
        refuse_half_replaced(plain, looked_at);
      } else {
        for (auto& path : match(plain)) {
          refuse_half_replaced(path, looked_at);
          result.push_back(std::move(path));
        }
      }
      if (result.size() == before_this) absent.push_back(plain);
    }
    if (result.size() == before)
      throw Error::input("no file matches", pattern, "check the pattern");
  }
  if (missing != nullptr) {
    *missing = std::move(absent);
  } else if (!absent.empty()) {
    const std::string others =
        absent.size() > 1 ? ", and " + std::to_string(absent.size() - 1) + " more of the pattern"
                          : "";
    throw Error::input(absent.front() + " is missing" + others, patterns,
                       "correct the pattern, or pass the setting 'skip_bad_shards'");
  }
  return result;
}

}  // namespace opencloc
