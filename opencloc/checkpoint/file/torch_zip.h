// The directory of a PyTorch archive: torch.save and TorchScript write zip files whose entries lie
// uncompressed, so that tensors can be used where they are.
// Goal: whatever the bytes, every entry lies within the file, or an Error. No torch here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

class TorchZip {
 public:
  // `bytes` outlives the object. Error (input) for no zip, entries that overlap or lie outside,
  // names given twice, and for entries outside one top folder.
  TorchZip(std::span<const std::byte> bytes, std::string_view where);

  // Begins like a zip file.
  static bool looks_like_one(std::span<const std::byte> bytes);

  // The entry of that name within the top folder ("data.pkl", "data/0"). Error (input) when there
  // is none, or it is compressed.
  std::span<const std::byte> entry(std::string_view name) const;
  bool has(std::string_view name) const;

 private:
  struct Entry {
    std::string name;
    uint64_t begin, size;
    bool plain;  // neither compressed nor encrypted
  };
  const Entry* find(std::string_view name) const;

  std::span<const std::byte> bytes_;
  std::string where_;
  std::vector<Entry> entries_;  // sorted by name
};

}  // namespace opencloc
