// Small datasets of the test's own, imported into shards and read back.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "opencloc/base/files.h"
#include "opencloc/data/import/import.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/image/encode.h"
#include "tests/data/tar_maker.h"

namespace opencloc::fixtures {

namespace fs = std::filesystem;

// A JPEG whose EXIF says how to turn it.
inline std::string exif_jpeg(int width, int height, int orientation) {
  const std::string plain = encode_jpeg(Image(width, height), 90);
  std::string exif("Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 24);
  exif += static_cast<char>(orientation);
  exif += std::string(7, '\0');
  const auto length = static_cast<char>(exif.size() + 2);
  return plain.substr(0, 2) + "\xff\xe1" + std::string(1, '\0') + length + exif + plain.substr(2);
}

// A folder of pictures and annotations, imported into shards and read back by key.
class ImportTest : public ::testing::Test {
 protected:
  // The message of the wrong input that `action` is refused as.
  static std::string error_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2);
      return error.what();
    }
    return "no error";
  }
  void picture(const std::string& name, int width = 100, int height = 50) {
    write_file(images() / name, tiny_ppm(width, height));
  }
  fs::path images() const { return folder_ / "images"; }
  fs::path file(const std::string& name, const std::string& text) {
    write_file(folder_ / name, text);
    return folder_ / name;
  }
  void run(const std::string& format, ImportOptions options, int threads = 2) {
    if (options.images.empty()) options.images = images();
    ShardSetWriter out(folder_ / "out", {.samples_per_shard = 1000, .overwrite = true});
    report_ = import_dataset(format, options, out, skips_, {.threads = threads});
    out.commit();
    SkipCounter none;
    ShardReader reader((folder_ / "out" / "00000.tar").string(), none);
    records_.clear();
    for (Record record; reader.next(record);) records_[record.key] = record;
  }
  std::vector<std::string> keys() const {
    std::vector<std::string> result;
    for (const auto& [key, record] : records_) result.push_back(key);
    return result;
  }
  void expect_box(const Box& box, float x0, float y0, float x1, float y1) {
    EXPECT_NEAR(box.x0, x0, 1e-6);
    EXPECT_NEAR(box.y0, y0, 1e-6);
    EXPECT_NEAR(box.x1, x1, 1e-6);
    EXPECT_NEAR(box.y1, y1, 1e-6);
  }

  TempFolder folder_;
  SkipCounter skips_{0};
  ImportReport report_;
  std::map<std::string, Record> records_;
};

}  // namespace opencloc::fixtures
