// A folder with a small model and pictures, for tests of `opencloc index` and `search`.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "opencloc/base/rng.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/cli/run_binary.h"

namespace opencloc::fixtures {

// Coarse noise: pictures that differ for the model, too.
inline std::string noise_ppm(uint64_t seed, int width = 40, int height = 30) {
  Rng rng(seed);
  std::string ppm = tiny_ppm(width, height);
  const size_t header = ppm.size() - static_cast<size_t>(width) * height * 3;
  std::vector<char> cells(300);
  for (char& cell : cells) cell = static_cast<char>(rng.below(256));
  for (size_t i = header; i < ppm.size(); ++i) {
    const size_t pixel = (i - header) / 3, x = pixel % width / 4, y = pixel / width / 4;
    ppm[i] = cells[(y * 10 + x) * 3 % 297 + (i - header) % 3];
  }
  return ppm;
}

class IndexVerbTest : public BinaryTest {
 protected:
  void SetUp() override {
    write_tiny_model(folder_ / "model");
    for (const char* name : {"a", "b", "c", "d", "e"}) {
      write_file(folder_ / "photos" / (std::string(name) + ".ppm"),
                 noise_ppm(static_cast<uint64_t>(name[0])));
    }
  }
  Json json_of(const std::string& arguments) const {
    const auto result = run_binary(arguments + " --json");
    EXPECT_EQ(result.exit_code, 0) << arguments << "\n" << result.err;
    return result.exit_code == 0 ? parse_json(result.out, "stdout") : Json::object();
  }
  Json add(const std::string& flags, const std::string& index = "idx") const {
    return json_of("index add " + at(index) + " --model " + at("model") + " " + flags);
  }
  Json search(const std::string& flags, const std::string& index = "idx") const {
    return json_of("search " + at(index) + " --deduplicate off " + flags);
  }
  std::string photo(const std::string& name) const { return at("photos/" + name + ".ppm"); }
};

}  // namespace opencloc::fixtures
