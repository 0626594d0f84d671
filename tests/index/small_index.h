// Pictures with made-up vectors, and indexes of them.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/base/sha256.h"
#include "opencloc/index/index_reader.h"
#include "opencloc/index/index_writer.h"
#include "opencloc/index/search.h"
#include "tests/base/temp_folder.h"

namespace opencloc::fixtures {

constexpr int64_t kSmallWidth = 48;
constexpr double kSmallScale = 10;  // inverse temperature

inline std::vector<float> unit(std::vector<float> vector) {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  for (float& x : vector) x /= static_cast<float>(std::sqrt(squares));
  return vector;
}

inline std::vector<float> made_up_vector(uint64_t seed) {
  Rng rng(seed, {7});
  std::vector<float> vector;
  for (int64_t i = 0; i < kSmallWidth; ++i)
    vector.push_back(static_cast<float>(rng.uniform()) - 0.5f);
  return unit(std::move(vector));
}

// Picture `number` has `number` % 4 regions.
inline NewPicture made_up_picture(int number) {
  NewPicture picture;
  picture.name.name = "picture" + std::to_string(number) + ".jpg";
  picture.digest = sha256_hex(picture.name.name);
  picture.width = 640;
  picture.height = 480;
  picture.caption = number % 2 == 0 ? "caption " + std::to_string(number) : "";
  const auto seed = static_cast<uint64_t>(number) * 100;
  picture.vector = made_up_vector(seed);
  for (int i = 1; i <= number % 4; ++i) {
    const float x = 0.25f * static_cast<float>(i - 1);
    picture.regions.push_back({{x, 0.25f, x + 0.25f, 0.75f},
                               i == 1 ? "region of " + std::to_string(number) : "",
                               made_up_vector(seed + static_cast<uint64_t>(i))});
  }
  return picture;
}

class SmallIndex {
 public:
  explicit SmallIndex(const std::string& name = "index") : path_(folder_ / name) {
    create_index(path_, {.width = kSmallWidth,
                         .model = "m",
                         .fingerprint = "f",
                         .inverse_temperature = kSmallScale});
  }
  const std::filesystem::path& path() const { return path_; }
  void add(int begin, int end) const {
    IndexWriter writer(path_);
    for (int i = begin; i < end; ++i) writer.add(made_up_picture(i));
    writer.commit();
  }
  // The files of its segments.
  std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> files;
    for (const auto& file : std::filesystem::directory_iterator(path_ / "segments"))
      files.push_back(file.path());
    return files;
  }

 private:
  TestFolder folder_;
  std::filesystem::path path_;
};

}  // namespace opencloc::fixtures
