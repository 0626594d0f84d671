#include "opencloc/data/shard/shard_writer.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <exception>
#include <set>
#include <utility>

#include <archive.h>
#include <archive_entry.h>

#include "opencloc/base/files.h"
#include "opencloc/base/publish.h"
#include "opencloc/base/temporary.h"

namespace opencloc {
namespace fs = std::filesystem;

struct ShardWriter::Impl {
  explicit Impl(const fs::path& path) : file(path), name(path.string()) {}
  ~Impl() {
    if (writer != nullptr) archive_write_free(writer);
  }
  // Rethrows what the write callback met, else reports libarchive's own error.
  [[noreturn]] void fail() {
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
    const char* text = archive_error_string(writer);
    throw Error::failed(std::string("cannot write shard (") + (text == nullptr ? "?" : text) + ")",
                        name, "check free space and rights");
  }
  void check(int rc) {
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) fail();
  }
  void add(const std::string& member, std::string_view bytes);
  static la_ssize_t write_callback(archive*, void* self, const void* data, size_t size);

  AtomicFile file;
  std::string name;
  archive* writer = nullptr;
  std::exception_ptr error;  // thrown by file.write() inside the C callback
  std::string last_key;
  int64_t samples = 0;
  bool finished = false;
};

la_ssize_t ShardWriter::Impl::write_callback(archive*, void* self, const void* data, size_t size) {
  auto& impl = *static_cast<Impl*>(self);
  try {
    impl.file.write(data, size);
    return static_cast<la_ssize_t>(size);
  } catch (...) {  // must not cross libarchive's C frames; fail() rethrows it
    impl.error = std::current_exception();
    return -1;
  }
}

namespace {

// 00000.tar, 123456.tar: what ShardSetWriter writes.
bool is_numbered_shard(const std::string& name) {
  const size_t dot = name.find('.');
  return dot != std::string::npos && dot >= 5 && name.substr(dot) == ".tar" &&
         std::all_of(name.begin(), name.begin() + static_cast<std::ptrdiff_t>(dot),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

constexpr const char* kHiddenName = "writing";  // what temporary names of new sets hold

std::vector<std::string> numbered_shards(const fs::path& folder) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (is_numbered_shard(name)) found.push_back(name);
  }
  return found;
}

}  // namespace

void ShardWriter::Impl::add(const std::string& member, std::string_view bytes) {
  struct FreeEntry {
    void operator()(archive_entry* e) const { archive_entry_free(e); }
  };
  const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
  archive_entry_set_pathname(entry.get(), member.c_str());
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(bytes.size()));
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0644);
  archive_entry_set_mtime(entry.get(), 0, 0);
  check(archive_write_header(writer, entry.get()));
  if (archive_write_data(writer, bytes.data(), bytes.size()) !=
      static_cast<la_ssize_t>(bytes.size()))
    fail();
}

ShardWriter::ShardWriter(const fs::path& path) : impl_(std::make_unique<Impl>(path)) {
  impl_->writer = archive_write_new();
  if (impl_->writer == nullptr) throw Error::failed("no memory to write a shard", path.string());
  archive* a = impl_->writer;
  const std::string& name = impl_->name;
  if (name.ends_with(".gz") || name.ends_with(".tgz")) {
    impl_->check(archive_write_add_filter_gzip(a));
    impl_->check(archive_write_set_filter_option(a, "gzip", "timestamp", nullptr));
  } else if (name.ends_with(".zst")) {
    impl_->check(archive_write_add_filter_zstd(a));
  }
  impl_->check(archive_write_set_format_pax_restricted(a));
  impl_->check(archive_write_set_bytes_in_last_block(a, 1));  // no padding after compressed data
  impl_->check(archive_write_open(a, impl_.get(), nullptr, Impl::write_callback, nullptr));
}

ShardWriter::~ShardWriter() = default;
ShardWriter::ShardWriter(ShardWriter&&) noexcept = default;

void ShardWriter::write(const Record& record) {
  if (record.key.empty() || record.key != safe_key(record.key)) {
    throw Error::input("'" + record.key + "' cannot be a key", impl_->name,
                       "use a relative name without dots");
  }
  if (record.key == impl_->last_key) {
    throw Error::input("two samples in a row have the key '" + record.key + "'", impl_->name,
                       "give every sample its own key");
  }
  if (!is_picture_extension(record.extension)) {
    throw Error::input("'" + record.extension + "' is not the extension of a picture",
                       impl_->name + "#" + record.key, "use jpg, png or webp");
  }
  impl_->last_key = record.key;
  impl_->add(record.key + "." + record.extension, record.image);
  if (!record.alt_text.empty()) impl_->add(record.key + ".txt", record.alt_text);
  if (const Json json = record_json(record); !json.empty()) {
    impl_->add(record.key + ".json", dump_json(json));
  }
  for (const auto& other : record.others) {
    impl_->add(record.key + "." + other.extension, other.bytes);
  }
  ++impl_->samples;
}

int64_t ShardWriter::samples() const { return impl_->samples; }

void ShardWriter::finish() {
  impl_->check(archive_write_close(impl_->writer));
  impl_->file.finish();
  impl_->finished = true;
}

void ShardWriter::commit() {
  if (!impl_->finished) finish();
  impl_->file.commit();
}

ShardSetWriter::ShardSetWriter(fs::path folder, ShardSetOptions options)
    : folder_(std::move(folder)), options_(options) {
  if (options_.samples_per_shard < 1) {
    throw Error::input(
        "a shard must hold at least one sample",
        "setting 'samples_per_shard=" + std::to_string(options_.samples_per_shard) + "'",
        "use the setting 'samples_per_shard=10000'");
  }
  std::error_code ec;
  if (fs::exists(folder_, ec)) {
    if (!fs::is_directory(folder_)) {
      throw Error::input("not a folder", folder_.string(), "name a folder for the shards");
    }
    finish_publishing(folder_);
    remove_abandoned(folder_, kHiddenName);
    if (!options_.overwrite && !numbered_shards(folder_).empty()) {
      throw Error::input("folder holds shards already", folder_.string(),
                         "name another folder, or pass the setting 'overwrite' to replace them");
    }
  }
  created_folder_ = fs::create_directories(folder_, ec);
  while (!ec) {
    hidden_ = temporary_beside(folder_ / kHiddenName);
    if (fs::create_directory(hidden_, ec)) break;
  }
  if (ec) {
    throw Error::failed("cannot create folder (" + ec.message() + ")", folder_.string(),
                        "check rights and free space");
  }
}

ShardSetWriter::~ShardSetWriter() {
  current_.reset();
  std::error_code ignored;  // nothing more can be done in a destructor
  fs::remove_all(hidden_, ignored);
  if (created_folder_) fs::remove(folder_, ignored);  // only when empty
}

void ShardSetWriter::write(const Record& record) {
  if (!current_) {
    char name[32];
    std::snprintf(name, sizeof name, "%05zu.tar", names_.size());
    names_.emplace_back(name);
    current_ = std::make_unique<ShardWriter>(hidden_ / name);
  }
  current_->write(record);
  ++samples_;
  if (current_->samples() >= options_.samples_per_shard) {
    current_->commit();
    current_.reset();
  }
}

void ShardSetWriter::commit() {
  if (current_) current_->commit();
  current_.reset();
  std::vector<std::string> old_names = numbered_shards(folder_);
  if (!options_.overwrite && !old_names.empty()) {
    throw Error::failed("another process has written shards meanwhile", folder_.string(),
                        "name another folder, or pass the setting 'overwrite' to replace them");
  }
  const std::set<std::string> new_names(names_.begin(), names_.end());
  std::erase_if(old_names, [&](const std::string& name) { return new_names.contains(name); });
  publish_files(hidden_, folder_, names_, old_names);
  created_folder_ = false;
}

}  // namespace opencloc
