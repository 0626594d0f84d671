// Small tars for tests: any format and filter libarchive writes, hostile headers, tiny pictures.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include <archive.h>
#include <archive_entry.h>

#include "opencloc/data/shard/record.h"

namespace opencloc::fixtures {

struct TarEntry {
  enum class Kind { kFile, kFolder, kSymlink, kHardlink, kSparse };
  std::string name;
  std::string bytes = {};
  Kind kind = Kind::kFile;
};

// `format`: "ustar", "gnutar", "pax"; `filter`: "none", "gzip", "zstd".
inline void write_tar(const std::filesystem::path& path, const std::vector<TarEntry>& entries,
                      const std::string& format = "ustar", const std::string& filter = "none") {
  archive* a = archive_write_new();
  const auto check = [a](int rc) {
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) throw std::runtime_error(archive_error_string(a));
  };
  check(archive_write_set_format_by_name(a, format.c_str()));
  if (filter == "gzip") check(archive_write_add_filter_gzip(a));
  if (filter == "zstd") check(archive_write_add_filter_zstd(a));
  check(archive_write_open_filename(a, path.c_str()));
  for (const auto& item : entries) {
    archive_entry* e = archive_entry_new();
    archive_entry_set_pathname(e, item.name.c_str());
    archive_entry_set_perm(e, 0644);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_size(e, static_cast<la_int64_t>(item.bytes.size()));
    std::string data = item.bytes;
    switch (item.kind) {
      case TarEntry::Kind::kFile:
        break;
      case TarEntry::Kind::kFolder:
        archive_entry_set_filetype(e, AE_IFDIR);
        break;
      case TarEntry::Kind::kSymlink:
        archive_entry_set_filetype(e, AE_IFLNK);
        archive_entry_set_symlink(e, item.bytes.c_str());
        archive_entry_set_size(e, 0);
        data.clear();
        break;
      case TarEntry::Kind::kHardlink:
        archive_entry_set_hardlink(e, item.bytes.c_str());
        archive_entry_set_size(e, 0);
        data.clear();
        break;
      case TarEntry::Kind::kSparse:  // the bytes lie behind a hole of a gigabyte
        archive_entry_set_size(e, (la_int64_t{1} << 30) + 512);
        archive_entry_sparse_add_entry(e, la_int64_t{1} << 30, 512);
        break;
    }
    check(archive_write_header(a, e));
    if (!data.empty()) archive_write_data(a, data.data(), data.size());
    archive_entry_free(e);
  }
  check(archive_write_close(a));
  archive_write_free(a);
}

// One raw ustar header with a right checksum, whatever the name and size say.
inline std::string raw_header(const std::string& name, uint64_t size, char type = '0') {
  std::string h(512, '\0');
  h.replace(0, std::min<size_t>(name.size(), 99), name, 0, 99);
  h.replace(100, 7, "0000644");
  h.replace(108, 7, "0000000");
  h.replace(116, 7, "0000000");
  char octal[24];
  std::snprintf(octal, sizeof octal, "%011llo", static_cast<unsigned long long>(size));
  h.replace(124, 11, octal, 11);
  h.replace(136, 11, "00000000000");
  h.replace(148, 8, "        ");
  h[156] = type;
  h.replace(257, 6, std::string("ustar\0", 6));
  h.replace(263, 2, "00");
  unsigned sum = 0;
  for (const char c : h) sum += static_cast<unsigned char>(c);
  std::snprintf(octal, sizeof octal, "%06o", sum);
  h.replace(148, 7, std::string(octal, 7));
  return h;
}

// A binary PPM of one colour: a picture without a codec.
inline std::string tiny_ppm(int width, int height, unsigned char grey = 100) {
  std::string ppm = "P6\n" + std::to_string(width) + " " + std::to_string(height) + "\n255\n";
  ppm.append(static_cast<size_t>(width) * height * 3, static_cast<char>(grey));
  return ppm;
}

inline Record make_test_record(const std::string& key, const std::string& caption = "a caption") {
  Record record;
  record.key = key;
  record.extension = "ppm";
  record.image = tiny_ppm(4, 4);
  record.caption = caption;
  return record;
}

// A fresh folder, removed at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "opencloc-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace opencloc::fixtures
