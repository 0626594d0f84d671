#include "opencloc/index/npy.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/kernels/scan/fp16.h"

namespace opencloc {
namespace {

constexpr std::string_view kNpyMagic = "\x93NUMPY";
constexpr uint64_t kLongestHeader = 1 << 16;

[[noreturn]] void no_npy(const std::string& why, std::string_view where) {
  throw Error::input("not a .npy file of vectors (" + why + ")", where,
                     "store float32 or float16 of [N, E] in C order");
}

// What stands behind 'key': in the header's dictionary.
std::string_view value_of(std::string_view header, std::string_view key, std::string_view where) {
  const size_t at = header.find(fmt::format("'{}':", key));
  if (at == header.npos) no_npy(fmt::format("its header has no '{}'", key), where);
  std::string_view value = header.substr(at + key.size() + 3);
  return value.substr(std::min(value.find_first_not_of(' '), value.size()));
}

// The numbers of "(3, 512)"; none where it is something else.
std::optional<std::vector<int64_t>> sides_of(std::string_view text) {
  if (!text.starts_with('(')) return std::nullopt;
  const size_t end = text.find(')');
  if (end == text.npos) return std::nullopt;
  text = text.substr(1, end - 1);
  std::vector<int64_t> sides;
  while (!text.empty()) {
    int64_t side = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), side);
    if (error != std::errc() || side < 0) return std::nullopt;
    sides.push_back(side);
    text.remove_prefix(static_cast<size_t>(rest - text.data()));
    text.remove_prefix(std::min(text.find_first_not_of(", "), text.size()));
  }
  return sides;
}

std::string_view text_of_map(const MappedFile& map) {
  return {reinterpret_cast<const char*>(map.bytes().data()), map.bytes().size()};
}

}  // namespace

NpyHeader read_npy_header(std::string_view bytes, std::string_view where) {
  if (!bytes.starts_with(kNpyMagic) || bytes.size() < 12) no_npy("it begins otherwise", where);
  const auto byte = [&](size_t i) { return uint64_t{static_cast<unsigned char>(bytes[i])}; };
  const uint64_t begin = byte(6) >= 2 ? 12 : 10;
  uint64_t length = byte(8) | byte(9) << 8;
  if (begin == 12) length |= byte(10) << 16 | byte(11) << 24;
  if (length > kLongestHeader || begin + length > bytes.size())
    no_npy("its header is cut short", where);
  const std::string_view text = bytes.substr(begin, length);
  NpyHeader header;
  header.size = begin + length;
  const std::string_view kind = value_of(text, "descr", where);
  header.is_half = kind.starts_with("'<f2'");
  if (!header.is_half && !kind.starts_with("'<f4'"))
    no_npy("its numbers are " + std::string(kind.substr(0, 6)), where);
  if (!value_of(text, "fortran_order", where).starts_with("False"))
    no_npy("its columns lie together", where);
  const auto sides = sides_of(value_of(text, "shape", where));
  if (!sides || sides->empty() || sides->size() > 2) no_npy("it has another shape", where);
  header.rows = sides->size() == 2 ? sides->front() : 1;
  header.width = sides->back();
  const uint64_t left = bytes.size() - header.size;
  const auto rows = static_cast<uint64_t>(header.rows), width = static_cast<uint64_t>(header.width);
  const uint64_t numbers = left / (header.is_half ? 2 : 4);
  if (width == 0 || rows > numbers / width) no_npy("it is cut short", where);
  return header;
}

NpyRows::NpyRows(const std::filesystem::path& path) : map_(path) {
  const NpyHeader header = read_npy_header(text_of_map(map_), path.string());
  rows_ = header.rows;
  width_ = header.width;
  is_half_ = header.is_half;
  data_ = map_.bytes().data() + header.size;
}

std::vector<float> NpyRows::row(int64_t i) const {
  std::vector<float> row(static_cast<size_t>(width_));
  if (is_half_) {
    std::vector<uint16_t> halves(row.size());
    std::memcpy(halves.data(), data_ + i * width_ * 2, halves.size() * 2);
    for (size_t k = 0; k < row.size(); ++k) row[k] = kernels::float_of(halves[k]);
  } else {
    std::memcpy(row.data(), data_ + i * width_ * 4, row.size() * 4);
  }
  return row;
}

NpyWriter::NpyWriter(const std::filesystem::path& path, int64_t rows, int64_t width)
    : file_(path), rows_(rows), width_(width) {
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, width);
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  file_.write(kNpyMagic);
  const char lengths[] = {1, 0, static_cast<char>(header.size() & 255),
                          static_cast<char>(header.size() >> 8)};
  file_.write({lengths, sizeof lengths});
  file_.write(header);
}

void NpyWriter::add(std::span<const float> row) {
  if (static_cast<int64_t>(row.size()) != width_) {
    throw Error::failed(
        fmt::format("vector {} has {} numbers, the others have {}", added_, row.size(), width_));
  }
  file_.write(row.data(), row.size_bytes());
  ++added_;
}

void NpyWriter::commit() {
  if (added_ != rows_) {
    throw Error::failed(
        std::to_string(added_) + " vectors came in place of " + std::to_string(rows_), {},
        "run it again");
  }
  file_.commit();
}

}  // namespace opencloc
