// The members of one tar, in order. Goals: the only reader that knows libarchive; nothing hostile
// passes (links, special files and sparse members are marked, sizes are bounded by the caller).
// Non-goals: samples and keys (see sample_stream.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace opencloc {

struct TarMember {
  std::string name;  // as stored; may be hostile
  uint64_t size = 0;
  uint64_t offset = 0;    // of its header in the uncompressed tar
  bool is_plain = false;  // a regular file: no folder, link, device or sparse file
  bool is_folder = false;
};

// Not thread-safe.
class TarStream {
 public:
  // Opens a file: plain, gzip or zstd, told by content; `name` is for messages. Throws Error
  // (input).
  static TarStream open(const std::string& path, std::string name);
  // Reads from memory that outlives the stream.
  static TarStream over(std::string_view bytes, std::string name);
  ~TarStream();
  TarStream(TarStream&&) noexcept;

  enum class Status {
    kMember,
    kEnd,
    kCutShort,  // the tar stops in the middle of a header or of the data before it
  };
  // Moves to the next member. Throws Error (input) when the bytes are no tar or are damaged.
  Status next(TarMember& member);

  // Data of the member next() returned last. False when the tar stops before its end. Throws Error
  // (input) when the compressed data is damaged.
  bool read(std::string& bytes);
  // Passes over it.
  bool skip();
  // Where the next header may start at the earliest.
  uint64_t position() const;

 private:
  struct Impl;
  explicit TarStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Unpacks a gzip or zstd file into the open file that `target` gives; a file that stops early gives
// what came before. False when `path` is not compressed: `target` is not asked then.
bool unpack_compressed(const std::string& path, const std::function<int()>& target);

}  // namespace opencloc
