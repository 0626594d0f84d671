#include "opencloc/data/shard/tar_stream.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/not_fetched.h"

namespace opencloc {
struct FreeArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};
using ArchivePtr = std::unique_ptr<archive, FreeArchive>;

struct TarStream::Impl {
  ArchivePtr reader;
  std::string name;
  bool any_member = false;
};

namespace {

constexpr size_t kReadBytes = size_t{256} << 10;

std::string message(archive* a) {
  const char* text = archive_error_string(a);
  return text == nullptr ? "unknown error" : text;
}

// libarchive tells a file that stops early only by its message.
bool is_truncation(archive* a) { return message(a).find("runcated") != std::string::npos; }

ArchivePtr new_reader(const std::string& name) {
  ArchivePtr a(archive_read_new());
  if (!a) throw Error::failed("no memory to read a shard", name);
  archive_read_support_filter_gzip(a.get());
  archive_read_support_filter_zstd(a.get());
  return a;
}

[[noreturn]] void damaged(archive* a, const std::string& name) {
  throw Error::input("shard is damaged (" + message(a) + ")", name,
                     "replace the shard, or pass the setting 'skip_bad_shards'");
}

void open_file(archive* a, const std::string& path) {
  const MappedFile probe(path);  // a clear message for missing files and folders
  require_fetched(probe.bytes(), path);
  if (archive_read_open_filename(a, path.c_str(), kReadBytes) != ARCHIVE_OK) {
    throw Error::input("cannot open shard (" + message(a) + ")", path,
                       "check the file, or pass the setting 'skip_bad_shards'");
  }
}

}  // namespace

TarStream::TarStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TarStream::TarStream(TarStream&&) noexcept = default;

TarStream TarStream::open(const std::string& path, std::string name) {
  auto impl = std::make_unique<Impl>(Impl{new_reader(name), std::move(name), false});
  archive_read_support_format_tar(impl->reader.get());
  open_file(impl->reader.get(), path);
  return TarStream(std::move(impl));
}

TarStream TarStream::over(std::string_view bytes, std::string name) {
  auto impl = std::make_unique<Impl>(Impl{new_reader(name), std::move(name), false});
  archive* a = impl->reader.get();
  archive_read_support_format_tar(a);
  if (archive_read_open_memory(a, bytes.data(), bytes.size()) != ARCHIVE_OK) {
    damaged(a, impl->name);
  }
  return TarStream(std::move(impl));
}

TarStream::~TarStream() = default;

TarStream::Status TarStream::next(TarMember& member) {
  archive* a = impl_->reader.get();
  archive_entry* entry = nullptr;
  const int rc = archive_read_next_header(a, &entry);
  if (rc == ARCHIVE_EOF) return Status::kEnd;
  if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
    if (is_truncation(a)) return Status::kCutShort;
    if (impl_->any_member) damaged(a, impl_->name);
    throw Error::input("not a tar shard (" + message(a) + ")", impl_->name,
                       "check the file, or pass the setting 'skip_bad_shards'");
  }
  impl_->any_member = true;
  // In the C locale pax names outside ASCII are only to be had as UTF-8.
  const char* path = archive_entry_pathname(entry);
  if (path == nullptr) path = archive_entry_pathname_utf8(entry);
  member.name = path == nullptr ? "" : path;
  member.size = static_cast<uint64_t>(std::max<la_int64_t>(0, archive_entry_size(entry)));
  member.offset = static_cast<uint64_t>(archive_read_header_position(a));
  const auto type = archive_entry_filetype(entry);
  member.is_folder = type == AE_IFDIR;
  member.is_plain = type == AE_IFREG && archive_entry_hardlink(entry) == nullptr &&
                    archive_entry_sparse_count(entry) == 0;
  return Status::kMember;
}

bool TarStream::read(std::string& bytes) {
  archive* a = impl_->reader.get();
  bytes.clear();
  while (true) {
    const void* block = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int rc = archive_read_data_block(a, &block, &size, &offset);
    if (rc == ARCHIVE_EOF) return true;
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
      if (is_truncation(a)) return false;
      damaged(a, impl_->name);
    }
    bytes.append(static_cast<const char*>(block), size);
  }
}

bool TarStream::skip() {
  archive* a = impl_->reader.get();
  const int rc = archive_read_data_skip(a);
  if (rc == ARCHIVE_OK || rc == ARCHIVE_WARN || rc == ARCHIVE_EOF) return true;
  if (is_truncation(a)) return false;
  damaged(a, impl_->name);
}

uint64_t TarStream::position() const {
  const auto bytes = static_cast<uint64_t>(archive_filter_bytes(impl_->reader.get(), 0));
  return (bytes + 511) / 512 * 512;
}

bool unpack_compressed(const std::string& path, const std::function<int()>& target) {
  const ArchivePtr reader = new_reader(path);
  archive* a = reader.get();
  archive_read_support_format_raw(a);
  archive_read_support_format_empty(a);
  open_file(a, path);
  archive_entry* entry = nullptr;
  const int header = archive_read_next_header(a, &entry);
  if (archive_filter_count(a) <= 1) return false;  // the file itself is the only layer
  const int fd = target();
  if (header == ARCHIVE_EOF) return true;
  if (header != ARCHIVE_OK && header != ARCHIVE_WARN) damaged(a, path);
  while (true) {
    const void* block = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int rc = archive_read_data_block(a, &block, &size, &offset);
    if (rc == ARCHIVE_EOF) return true;
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
      if (is_truncation(a)) return true;
      damaged(a, path);
    }
    const char* data = static_cast<const char*>(block);
    while (size > 0) {
      const ssize_t wrote = ::write(fd, data, size);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) {
        throw Error::failed("cannot unpack shard (" + errno_text() + ")", path,
                            "free space in $TMPDIR, or unpack the shard to a plain .tar");
      }
      data += wrote;
      size -= static_cast<size_t>(wrote);
    }
  }
}

}  // namespace opencloc
