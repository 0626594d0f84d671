// Training runs small enough for tests: a few coloured squares, ViT-Test.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/rng.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/image/encode.h"
#include "opencloc/train/trainer.h"
#include "tests/data/tar_maker.h"

namespace opencloc::fixtures {

struct Colour {
  const char* name;
  std::array<uint8_t, 3> rgb;
};
inline constexpr std::array<Colour, 8> kColours = {{{"red", {220, 30, 30}},
                                                    {"green", {30, 180, 30}},
                                                    {"blue", {40, 60, 220}},
                                                    {"yellow", {230, 220, 40}},
                                                    {"white", {245, 245, 245}},
                                                    {"purple", {150, 40, 170}},
                                                    {"orange", {250, 140, 20}},
                                                    {"cyan", {40, 210, 220}}}};

inline void fill(Image& image, int x0, int y0, int x1, int y1, const std::array<uint8_t, 3>& rgb) {
  for (int y = y0; y < y1; ++y) {
    for (int x = x0; x < x1; ++x) std::copy(rgb.begin(), rgb.end(), image.row(y) + 3 * x);
  }
}

// A 32x32 picture with two squares of different colours, one in the left and one in the right half.
inline Record squares(uint64_t seed) {
  Rng rng(seed);
  Record record;
  record.key = "squares" + std::to_string(seed);
  record.extension = "png";
  Image image(32, 32);
  const uint64_t first = rng.below(kColours.size());
  const uint64_t second = (first + 1 + rng.below(kColours.size() - 1)) % kColours.size();
  const std::array<uint64_t, 2> colours{first, second};
  for (int half = 0; half < 2; ++half) {
    const int size = 8 + static_cast<int>(rng.below(6));
    const int x = 16 * half + static_cast<int>(rng.below(static_cast<uint64_t>(17 - size)));
    const int y = static_cast<int>(rng.below(static_cast<uint64_t>(33 - size)));
    const Colour& colour = kColours[colours[static_cast<size_t>(half)]];
    fill(image, x, y, x + size, y + size, colour.rgb);
    Region region;
    region.box = {static_cast<float>(x) / 32, static_cast<float>(y) / 32,
                  static_cast<float>(x + size) / 32, static_cast<float>(y + size) / 32};
    region.text = std::string("a ") + colour.name + " square";
    record.caption += (record.caption.empty() ? "" : " and ") + region.text;
    record.regions.push_back(region);
  }
  record.image = encode_png(image);
  return record;
}

inline void write_squares(const std::filesystem::path& path, int count, uint64_t first = 0) {
  ShardWriter writer(path);
  for (int i = 0; i < count; ++i) writer.write(squares(first + static_cast<uint64_t>(i)));
  writer.commit();
}

// 8 steps of 4 pictures, a checkpoint every 2.
inline TrainConfig tiny_config(const std::filesystem::path& data,
                               const std::filesystem::path& out) {
  TrainConfig config;
  config.data = data.string();
  config.model = "ViT-Test";
  config.vocab_size = 300;
  config.out = out;
  config.steps = 8;
  config.batch_size = 4;
  config.lr = 1e-3;
  config.save_every = 2;
  config.log_every = 1;
  config.workers = 2;
  config.report_pictures = 0;
  config.progress = false;
  return config;
}

// What a run that cannot work says, before it has written a model.
inline std::string error_of_run(const TrainConfig& config) {
  try {
    train(config);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    EXPECT_FALSE(std::filesystem::exists(config.out / "model"));
    return error.what();
  }
  return "";
}

// Bytes of the final weights.
inline std::string final_weights(const std::filesystem::path& run) {
  return read_file(run / "model" / "open_clip_model.safetensors") +
         read_file(run / "model" / "cloc_heads.safetensors");
}

}  // namespace opencloc::fixtures
