// A handful of drawn records, a model and a tokenizer small enough for tests of evaluation.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <torch/utils.h>

#include "opencloc/base/files.h"
#include "opencloc/base/rng.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/image/encode.h"
#include "opencloc/model/cloc/cloc.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc::fixtures {

// One id a byte: start none, end 255, pad 0.
class ByteTokenizer : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(1 + static_cast<unsigned char>(c) % 253);
    return ids;
  }
  int64_t vocab_size() const override { return 256; }
  std::optional<int32_t> start_id() const override { return std::nullopt; }
  int32_t end_id() const override { return 255; }
  int32_t pad_id() const override { return 0; }
  const std::vector<TokenizerFile>& files() const override { return files_; }

 private:
  std::vector<TokenizerFile> files_;
};

inline ModelConfig tiny_config() {
  ModelConfig config;
  config.embed_dim = 24;
  config.vision = {.image_size = 32, .patch_size = 8, .width = 32, .layers = 2, .head_width = 16};
  config.text = {.context_length = 16, .vocab_size = 256, .width = 16, .heads = 2, .layers = 2};
  config.preprocess.resize_mode = CanvasRule::kLongest;
  return config;
}

// Weights far from where training starts, so that embeddings differ visibly.
inline Cloc tiny_model(const ModelConfig& config = tiny_config()) {
  torch::manual_seed(7);
  Cloc model(config);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) parameter.add_(0.2 * torch::randn_like(parameter));
  return model;
}

// A picture of a few flat rectangles.
inline Image drawn_image(int width, int height, uint64_t seed) {
  Image image(width, height);
  Rng rng(seed);
  for (int patch = 0; patch < 6; ++patch) {
    const auto x0 = static_cast<int>(rng.below(static_cast<uint64_t>(width)));
    const auto y0 = static_cast<int>(rng.below(static_cast<uint64_t>(height)));
    const uint64_t color = rng.next();
    for (int y = y0; y < height; ++y) {
      for (int x = x0; x < width; ++x) {
        for (int c = 0; c < 3; ++c)
          image.row(y)[3 * x + c] = static_cast<uint8_t>(color >> (8 * c));
      }
    }
  }
  return image;
}

// `count` records of changing size with up to four regions; names from a list of six, of which
// "newt" and "owl" are held out.
inline std::vector<Record> drawn_records(int64_t count) {
  const std::vector<std::string> names{"ant", "bee", "cat", "dog", "newt", "owl"};
  std::vector<Record> records;
  for (int64_t i = 0; i < count; ++i) {
    Rng rng(3, {static_cast<uint64_t>(i)});
    Record record;
    record.key = "sample" + std::to_string(1000 + i);
    record.extension = "png";
    const int width = 24 + static_cast<int>(rng.below(30));
    const int height = 24 + static_cast<int>(rng.below(30));
    record.image = encode_png(drawn_image(width, height, static_cast<uint64_t>(i)));
    record.caption = "scene " + std::to_string(i);
    if (i % 3 == 0) record.captions = {record.caption, "view " + std::to_string(i)};
    record.label = names[rng.below(names.size())];
    for (uint64_t r = rng.below(5); r > 0; --r) {
      const auto x = static_cast<float>(rng.uniform(0, 0.6));
      const auto y = static_cast<float>(rng.uniform(0, 0.6));
      Region region{{x, y, x + static_cast<float>(rng.uniform(0.1, 0.4)),
                     y + static_cast<float>(rng.uniform(0.1, 0.4))},
                    names[rng.below(names.size())],
                    1,
                    "test",
                    Json::object()};
      if (region.text == "newt" || region.text == "owl") region.extra["held_out"] = true;
      record.regions.push_back(region);
    }
    records.push_back(record);
  }
  return records;
}

inline void write_shard(const std::filesystem::path& path, const std::vector<Record>& records) {
  ShardWriter writer(path);
  for (const auto& record : records) writer.write(record);
  writer.commit();
}

}  // namespace opencloc::fixtures
