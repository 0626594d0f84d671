// A server with a small model and an index of a few pictures, in this process.
#pragma once

#include <memory>
#include <thread>

#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/image/encode.h"
#include "opencloc/search/indexer.h"
#include "opencloc/serve/server.h"
#include "opencloc/serve/wire.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/base/temp_folder.h"
#include "tests/serve/client.h"

namespace opencloc::fixtures {

// Coarse patterns, which differ for the model, too.
inline Image patterned(int seed, int width = 60, int height = 40) {
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        image.row(y)[3 * x + c] =
            static_cast<uint8_t>((x / 8 * (seed + 3) + y / 8 * (2 * seed + 5) + c * 40) * 29 % 256);
      }
    }
  }
  return image;
}

// The folder of all tests of a process: its model is made once.
class World {
 public:
  static World& the() {
    static World world;
    return world;
  }
  std::filesystem::path model() const { return folder_ / "model"; }
  std::filesystem::path photos() const { return folder_ / "photos"; }
  std::filesystem::path photo(int i) const { return photos() / (std::to_string(i) + ".png"); }
  // A new index of photos [0, 5).
  std::filesystem::path new_index() {
    const auto path = folder_ / ("index" + std::to_string(++indexes_));
    for (int i = 0; i < 5; ++i) add(path, photo(i));
    return path;
  }
  // As another process does it.
  void add(const std::filesystem::path& index, const std::filesystem::path& photo) {
    LoadedModel loaded = load_model(model());
    IndexInfo info;
    info.model = model().string();
    info.grid = {1, 2};
    IndexerOptions options;
    options.images = {photo.string()};
    SkipCounter skips;
    index_pictures(loaded, index, info, options, skips);
  }
  std::string bytes(int i) const { return read_file(photo(i)); }
  std::string base64(int i) const { return serve::base64_encoded(bytes(i)); }

 private:
  World() {
    write_tiny_model(model());
    for (int i = 0; i < 8; ++i) write_file(photo(i), encode_png(patterned(i)));
  }
  TestFolder folder_;
  int indexes_ = 0;
};

class RunningServer {
 public:
  explicit RunningServer(serve::ServeOptions options = {}) {
    options.model = World::the().model().string();
    options.load.device = "cpu";
    options.http.port = 0;
    server_ = std::make_unique<serve::Server>(options);
    thread_ = std::thread([this] { server_->run(); });
  }
  ~RunningServer() {
    server_->stop();
    thread_.join();
  }
  int port() const { return server_->port(); }
  serve::Server& server() { return *server_; }
  Reply get(const std::string& path, const std::string& headers = {}) const {
    return ask(port(), {.path = path, .headers = headers});
  }
  Reply post(const std::string& path, const Json& json, const std::string& headers = {}) const {
    return ask(port(), {.method = "POST",
                        .path = path,
                        .body = dump_json(json),
                        .type = "application/json",
                        .headers = headers});
  }
  Reply post_picture(const std::string& path, const std::string& bytes,
                     const std::string& headers = {}) const {
    return ask(
        port(),
        {.method = "POST", .path = path, .body = bytes, .type = "image/png", .headers = headers});
  }

 private:
  std::unique_ptr<serve::Server> server_;
  std::thread thread_;
};

inline std::vector<float> floats(const Json& list) { return list.get<std::vector<float>>(); }

inline void expect_same(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-6) << i;
}

}  // namespace opencloc::fixtures
