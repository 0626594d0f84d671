// NumPy's .npy files of vectors, which clip-retrieval, autofaiss and img2dataset's tools exchange.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/files.h"

namespace opencloc {

// A mapped file of [N, E], or of [E] as N = 1: little-endian float32 or float16, row by row.
class NpyRows {
 public:
  // Throws Error (input) for anything else, naming what it holds.
  explicit NpyRows(const std::filesystem::path& path);
  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }
  std::vector<float> row(int64_t i) const;  // [E]

 private:
  const MappedFile map_;
  int64_t rows_ = 0, width_ = 0;
  bool is_half_ = false;
  const std::byte* data_ = nullptr;
};

// The header of a file that NpyRows reads.
struct NpyHeader {
  uint64_t size = 0;  // bytes of it
  int64_t rows = 0, width = 0;
  bool is_half = false;
};
// `bytes`: of the whole file. Throws Error (input) naming `where`.
NpyHeader read_npy_header(std::string_view bytes, std::string_view where);

// Writes float32 [N, E], row by row: whole or not at all.
class NpyWriter {
 public:
  NpyWriter(const std::filesystem::path& path, int64_t rows, int64_t width);
  // Error (failed) for a row of another width.
  void add(std::span<const float> row);
  // Error (failed) unless all rows came.
  void commit();

 private:
  AtomicFile file_;
  const int64_t rows_, width_;
  int64_t added_ = 0;
};

}  // namespace opencloc
