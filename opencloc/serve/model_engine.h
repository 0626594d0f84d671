// The model that answers, which may be given back while nobody asks.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "opencloc/serve/batcher.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc::serve {

class ModelEngine : public Engine {
 public:
  // Loads it. idle_unload: seconds without work after which it is given back; 0 = never.
  // `unloaded` is called then: whatever else holds on to the model lets go of it.
  ModelEngine(std::string path, LoadOptions options, double idle_unload,
              std::function<void()> unloaded);

  // What does not change when the model comes and goes.
  const std::string& name() const { return name_; }
  const std::string& path() const { return path_; }
  const std::string& fingerprint() const { return fingerprint_; }
  int width() const { return width_; }
  int image_size() const { return image_size_; }
  bool has_region_heads() const { return has_region_heads_; }
  // Ids that a text takes, start and end included, after the cut at the context's length.
  int64_t tokens_of(const std::string& text) const;
  bool loaded() const { return loaded_; }

  // On the compute thread alone, after start. Loads the model where it is not.
  const Model& model();
  std::vector<Embedding> encode_texts(std::span<const std::string> texts) override;
  std::vector<Scene> encode_images(std::span<const Image> images) override;
  std::chrono::milliseconds idle_time() const override;
  void idle() override;

 private:
  void load();

  const std::string path_;
  const LoadOptions options_;
  const double idle_unload_;
  const std::function<void()> unloaded_;
  std::string name_, fingerprint_;
  int width_ = 0, image_size_ = 0;
  int64_t context_length_ = 0;
  bool has_region_heads_ = false;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<Model> model_;
  std::atomic<bool> loaded_ = false;
};

}  // namespace opencloc::serve
