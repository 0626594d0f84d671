// Small shards with known contents, and a tokenizer without a file.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "opencloc/data/load/loader.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/image/encode.h"
#include "tests/data/tar_maker.h"

namespace opencloc::fixtures {

// Ids are the characters; start, end and padding as CLIP has them.
class LetterTokenizer : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c) % 100 + 1);
    return ids;
  }
  int64_t vocab_size() const override { return 103; }
  std::optional<int32_t> start_id() const override { return 101; }
  int32_t end_id() const override { return 102; }
  int32_t pad_id() const override { return 0; }
  const std::vector<TokenizerFile>& files() const override { return files_; }

 private:
  std::vector<TokenizerFile> files_;
};

// A picture that tells which sample it is: its number as a colour, brighter from left to right.
inline Image numbered_image(int number, int width = 40, int height = 32) {
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      uint8_t* pixel = image.row(y) + 3 * x;
      pixel[0] = static_cast<uint8_t>(number * 7 % 256);
      pixel[1] = static_cast<uint8_t>(x * 255 / width);
      pixel[2] = static_cast<uint8_t>(y * 255 / height);
    }
  }
  return image;
}

inline Record numbered_record(int number, int regions = 3) {
  Record record;
  record.key = "sample" + std::to_string(number);
  record.extension = "png";
  record.image = encode_png(numbered_image(number));
  record.caption = "picture " + std::to_string(number);
  for (int i = 0; i < regions; ++i) {
    const float left = 0.1f + 0.2f * static_cast<float>(i);
    Region region;
    region.box = {left, 0.2f, left + 0.3f, 0.7f};
    region.text = "thing " + std::to_string(number) + "." + std::to_string(i);
    record.regions.push_back(region);
  }
  return record;
}

inline void write_shard(const std::filesystem::path& path, const std::vector<Record>& records) {
  ShardWriter writer(path);
  for (const auto& record : records) writer.write(record);
  writer.commit();
}

inline std::vector<Record> numbered_records(int first, int count) {
  std::vector<Record> records;
  for (int i = 0; i < count; ++i) records.push_back(numbered_record(first + i));
  return records;
}

}  // namespace opencloc::fixtures
