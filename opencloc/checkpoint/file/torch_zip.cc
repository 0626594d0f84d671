#include "opencloc/checkpoint/file/torch_zip.h"

#include <algorithm>

#include "opencloc/checkpoint/file/byte_reader.h"

namespace opencloc {
namespace {

// Signatures and sizes of zip's records (PKWARE's APPNOTE).
constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr uint64_t kEndBytes = 22, kLocatorBytes = 20, kLocalBytes = 30, kCentralBytes = 46;
constexpr uint64_t kMaxComment = 65535;
constexpr uint32_t kIn64 = 0xffffffff;  // "the number is in the zip64 part"
constexpr uint64_t kMaxEntries = 1'000'000;

[[noreturn]] void refuse_zip(const std::string& what, std::string_view where) {
  throw Error::input("bad PyTorch archive: " + what, where,
                     "the file is damaged or hostile: get it again");
}

struct Directory {
  uint64_t entries, size, offset;
};

// Where the directory lies: said at the end of the file, before a comment of up to 64 KiB.
Directory find_directory(std::span<const std::byte> bytes, std::string_view where) {
  if (bytes.size() < kEndBytes) refuse_zip("no directory at its end", where);
  const uint64_t last = bytes.size() - kEndBytes;
  const uint64_t first = last > kMaxComment ? last - kMaxComment : 0;
  for (uint64_t at = last + 1; at-- > first;) {
    ByteReader end(bytes.subspan(at), where);
    if (end.number<uint32_t>() != kEnd) continue;
    end.take(6);
    Directory found{end.number<uint16_t>(), 0, 0};
    found.size = end.number<uint32_t>();
    found.offset = end.number<uint32_t>();
    if (at < kLocatorBytes) return found;
    ByteReader locator(bytes.subspan(at - kLocatorBytes), where);
    if (locator.number<uint32_t>() != kLocator64) return found;
    locator.take(4);
    const auto place = locator.number<uint64_t>();
    if (place > bytes.size()) refuse_zip("the zip64 part lies outside", where);
    ByteReader end64(bytes.subspan(place), where);
    if (end64.number<uint32_t>() != kEnd64) refuse_zip("no zip64 part where it should be", where);
    end64.take(28);
    found.entries = end64.number<uint64_t>();
    found.size = end64.number<uint64_t>();
    found.offset = end64.number<uint64_t>();
    return found;
  }
  refuse_zip("no directory at its end", where);
}

// 64-bit numbers of an entry, where the 32-bit ones say so (extra field 1, in this order).
void read_zip64(std::string_view extra, std::initializer_list<uint64_t*> numbers,
                std::string_view where) {
  ByteReader reader(std::as_bytes(std::span(extra.data(), extra.size())), where);
  while (reader.left() >= 4) {
    const auto id = reader.number<uint16_t>();
    const auto size = reader.number<uint16_t>();
    const std::string_view body = reader.take(size);
    if (id != 1) continue;
    ByteReader fields(std::as_bytes(std::span(body.data(), body.size())), where);
    for (uint64_t* number : numbers) {
      if (*number == kIn64) *number = fields.number<uint64_t>();
    }
  }
}

}  // namespace

bool TorchZip::looks_like_one(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && ByteReader(bytes, "").number<uint32_t>() == kLocal;
}

TorchZip::TorchZip(std::span<const std::byte> bytes, std::string_view where)
    : bytes_(bytes), where_(where) {
  const Directory directory = find_directory(bytes, where);
  if (directory.offset > bytes.size() || directory.size > bytes.size() - directory.offset)
    refuse_zip("the directory lies outside", where);
  if (directory.entries > kMaxEntries || directory.entries > directory.size / kCentralBytes)
    refuse_zip("more entries than its directory can hold", where);
  ByteReader reader(bytes.subspan(directory.offset, directory.size), where);
  std::string top;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    if (reader.number<uint32_t>() != kCentral) refuse_zip("the directory is damaged", where);
    reader.take(4);
    const auto flags = reader.number<uint16_t>();
    const auto method = reader.number<uint16_t>();
    reader.take(8);
    uint64_t packed = reader.number<uint32_t>();
    uint64_t size = reader.number<uint32_t>();
    const auto name_size = reader.number<uint16_t>();
    const auto extra_size = reader.number<uint16_t>();
    const auto comment_size = reader.number<uint16_t>();
    reader.take(8);
    uint64_t local = reader.number<uint32_t>();
    const std::string name(reader.take(name_size));
    read_zip64(reader.take(extra_size), {&size, &packed, &local}, where);
    reader.take(comment_size);

    if (name.ends_with('/')) continue;
    const bool plain = method == 0 && (flags & 1) == 0 && packed == size;
    if (local > bytes.size() || bytes.size() - local < kLocalBytes)
      refuse_zip("entry '" + name + "' lies outside", where);
    ByteReader header(bytes.subspan(local), where);
    if (header.number<uint32_t>() != kLocal)
      refuse_zip("entry '" + name + "' has no header", where);
    header.take(22);
    const uint64_t skip = uint64_t{header.number<uint16_t>()} + header.number<uint16_t>();
    header.take(skip);
    if (packed > header.left()) refuse_zip("entry '" + name + "' lies outside", where);

    const size_t slash = name.find('/');
    if (slash == std::string::npos || (!top.empty() && name.substr(0, slash) != top))
      refuse_zip("entry '" + name + "' is not in the archive's one folder", where);
    top = name.substr(0, slash);
    entries_.push_back({name.substr(slash + 1), local + header.position(), packed, plain});
  }
  // Overlapping entries are how a small file claims to hold a large one.
  std::ranges::sort(entries_, {}, &Entry::begin);
  for (size_t i = 1; i < entries_.size(); ++i) {
    if (entries_[i].begin < entries_[i - 1].begin + entries_[i - 1].size)
      refuse_zip("entry '" + entries_[i].name + "' overlaps another", where);
  }
  std::ranges::sort(entries_, {}, &Entry::name);
  const auto twice = std::ranges::adjacent_find(entries_, {}, &Entry::name);
  if (twice != entries_.end()) refuse_zip("entry '" + twice->name + "' occurs twice", where);
}

const TorchZip::Entry* TorchZip::find(std::string_view name) const {
  const auto found = std::ranges::lower_bound(entries_, name, {}, &Entry::name);
  return found != entries_.end() && found->name == name ? &*found : nullptr;
}

bool TorchZip::has(std::string_view name) const { return find(name) != nullptr; }

std::span<const std::byte> TorchZip::entry(std::string_view name) const {
  const Entry* found = find(name);
  if (found == nullptr) refuse_zip("no entry '" + std::string(name) + "'", where_);
  // PyTorch compresses the source code of TorchScript, and nothing else.
  if (!found->plain)
    refuse_zip("entry '" + std::string(name) + "' is compressed or encrypted", where_);
  return bytes_.subspan(found->begin, found->size);
}

}  // namespace opencloc
