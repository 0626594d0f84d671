// Pictures with made-up vectors, and indexes of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/base/sha256.h"
#include "opencloc/index/index_reader.h"
#include "opencloc/index/index_writer.h"
#include "opencloc/index/quality.h"
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

// Of nearly unit length. Its numbers are few enough bits that half precision (a database) and the
// 16 bits of a folder both hold them as they are.
inline std::vector<float> made_up_vector(uint64_t seed) {
  Rng rng(seed, {7});
  std::vector<float> vector;
  for (int64_t i = 0; i < kSmallWidth; ++i)
    vector.push_back(static_cast<float>(rng.uniform()) - 0.5f);
  vector = unit(std::move(vector));
  for (float& x : vector) x = std::nearbyint(x * 4096) / 4096;
  return vector;
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

// What is added to the score of a picture's region.
using AddedScore = std::function<float(int64_t picture, int64_t region)>;

// What a search has to find: every stored row is looked at. Score and picture, best first.
inline std::vector<std::pair<double, int64_t>> every_picture(const IndexReader& index,
                                                             const std::vector<float>& query,
                                                             SearchUnit unit, int pictures,
                                                             const AddedScore& added = {}) {
  std::vector<std::pair<double, int64_t>> found;
  for (int64_t picture = 1; picture <= pictures; ++picture) {
    const auto place = index.find(picture);
    if (!place) continue;
    double best = -9;
    for (int64_t row = place->rows.begin; row < place->rows.end; ++row) {
      const int64_t region = row - place->rows.begin;
      if (unit == (region == 0 ? SearchUnit::kRegion : SearchUnit::kPicture)) continue;
      const auto vector = index.columns(place->segment).vector(row);
      double sum = 0;
      for (size_t i = 0; i < vector.size(); ++i)
        sum += static_cast<double>(vector[i]) * static_cast<double>(query[i]);
      const float more = region > 0 && added ? added(picture, region) : 0;
      best = std::max(best, static_cast<double>(static_cast<float>(sum) + more));
    }
    if (best > -9) found.emplace_back(best, picture);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  return found;
}

}  // namespace opencloc::fixtures
