#include "opencloc/train/metrics_log.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"

namespace opencloc {

MetricsLog::MetricsLog(std::filesystem::path path, uint64_t keep_bytes) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) fail("open");
  struct stat info {};
  if (::fstat(fd_, &info) != 0) fail("read");
  bytes_ = std::min(keep_bytes, static_cast<uint64_t>(info.st_size));
  if (::ftruncate(fd_, static_cast<off_t>(bytes_)) != 0) fail("cut");
  if (::lseek(fd_, 0, SEEK_END) < 0) fail("seek in");
}

MetricsLog::~MetricsLog() {
  if (fd_ >= 0) ::close(fd_);
}

void MetricsLog::fail(const char* action) const {
  throw Error::failed(std::string("cannot ") + action + " (" + errno_text() + ")", path_.string(),
                      "check free space and rights, then run the same command again");
}

void MetricsLog::write(const Json& line) {
  const std::string text = dump_json(line) + "\n";
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(fd_, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) fail("write");
    done += static_cast<size_t>(wrote);
  }
  bytes_ += text.size();
}

void MetricsLog::flush_to_disk() {
  if (!opencloc::flush_to_disk(fd_)) fail("flush");
}

std::vector<Json> read_metrics(const std::filesystem::path& path) {
  std::vector<Json> lines;
  if (!std::filesystem::exists(path)) return lines;
  const std::string text = read_file(path);
  size_t start = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', start)) {
    const std::string_view line(text.data() + start, end - start);
    if (!line.empty()) lines.push_back(parse_json(line, path.string()));
    start = end + 1;
  }
  return lines;
}

}  // namespace opencloc
