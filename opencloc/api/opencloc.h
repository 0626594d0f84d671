// The front door: a trained model, pictures, promptable regions, texts. Plain C++; no torch.
//
//   auto model  = opencloc::Model::load("runs/demo/model");
//   auto scene  = model.encode(opencloc::Image::read("street.jpg"));   // one ViT pass
//   auto region = scene.region({0.1f, 0.2f, 0.4f, 0.6f});              // promptable embedding
//   auto text   = model.encode_text("a red car");
//   float score = similarity(region, text);
//   auto box    = scene.ground("a red car");
//
// Coordinates (boxes, points, masks, and the boxes that come back) are in [0, 1] of the picture as
// it was given, whatever the model's canvas; x to the right, y down.
//
// Thread-safety: a Model and its Scenes are handles to shared, immutable state. Copies are cheap,
// and all const member functions may be called from any number of threads at once. A call shares
// its work with a team of threads that the process has once; a caller that finds it busy works
// alone. The host program's own settings of libtorch and OpenMP are left as they are.
//
// Everything a user can cause throws opencloc::Error (what, where, how to mend).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/error.h"
#include "opencloc/image/box.h"
#include "opencloc/image/image.h"

namespace opencloc {

// A direction in the space that pictures, regions and texts share.
struct Embedding {
  std::vector<float> values;  // of unit length

  bool operator==(const Embedding&) const = default;
};

// Cosine, in [-1, 1]. Throws Error (input) for embeddings of different models' widths.
float similarity(const Embedding& a, const Embedding& b);

struct Point {
  float x = 0, y = 0;
};

// A region's embedding, and how well its box holds one object.
struct RatedRegion {
  Embedding embedding;
  float quality = 0;  // predicted IoU of the box with an object's, in [0, 1]
};

// A free-form region: a grid laid over the whole picture, at any resolution.
class Mask {
 public:
  // `inside` [height, width], row by row; not 0 = inside. Throws Error (input) when the size does
  // not fit or nothing is inside.
  Mask(int width, int height, std::vector<uint8_t> inside);
  int width() const { return width_; }
  int height() const { return height_; }
  bool at(int x, int y) const { return inside_[static_cast<size_t>(y) * width_ + x] != 0; }
  // The smallest box around it, in [0, 1].
  const Box& bounds() const { return bounds_; }
  // `count` pixel centres inside, evenly spread over its pixels in reading order, in [0, 1].
  std::vector<Point> sample(int count) const;

 private:
  int width_;
  int height_;
  std::vector<uint8_t> inside_;
  Box bounds_;
};

// A picture that went through the image tower once; any number of prompts can follow.
class Scene {
 public:
  int width() const;  // of the stored picture, in pixels
  int height() const;
  // The whole picture's embedding.
  Embedding embedding() const;

  // The embedding of what a prompt points at. Throw Error (input) for prompts that are empty or lie
  // outside what the model sees, and for models without trained region heads (plain CLIP). Points
  // and masks need a Prompter (a model trained with the RoIAlign extractor takes boxes and texts).
  Embedding region(const Box& box) const;
  Embedding region(const Point& point) const;
  Embedding region(const Mask& mask) const;
  Embedding region(std::string_view text) const;  // where in the picture it would be
  // Many at once, much faster than one by one.
  std::vector<Embedding> regions(std::span<const Box> boxes) const;
  // The same with their qualities. Throws Error (input) for a model without a quality head.
  std::vector<RatedRegion> rated_regions(std::span<const Box> boxes) const;

  // The box of what a text names. Always an answer, also for what is not there: compare
  // region(box) with the text to judge it. Within what the model saw of the picture. Throws Error
  // (input) for a plain CLIP.
  Box ground(std::string_view text) const;
  Box ground(const Embedding& text) const;  // of Model::encode_text
  std::vector<Box> ground(std::span<const Embedding> texts) const;

  // Behind the handle (api/impl.h), for bindings to other languages.
  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  friend class Model;
  explicit Scene(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

struct LoadOptions {
  std::string device = "auto";  // "auto" (CUDA where there is one), "cpu", "cuda"
  int threads = 0;  // CPU threads of this model's calls, at most; 0 = all this process may use
  // Of this model's matrix products: "fp32", or "bf16", which rounds the operands of each product
  // to bfloat16: faster where the processor multiplies bf16, and less exact.
  std::string precision = "fp32";
};

class Model {
 public:
  // A model directory: OpenCLOC's, open_clip's or Hugging Face's. Throws Error (input) when it is
  // none, or has no tokenizer.
  static Model load(const std::filesystem::path& directory, const LoadOptions& options = {});

  // Throws Error (input) for a picture whose size and pixels do not fit together.
  Scene encode(const Image& image) const;
  // One pass for all; split long lists, memory grows with them.
  std::vector<Scene> encode(std::span<const Image> images) const;
  // Longer texts than the model's context are cut at its end.
  Embedding encode_text(std::string_view text) const;
  std::vector<Embedding> encode_text(std::span<const std::string> texts) const;

  int embedding_width() const;    // E
  int image_size() const;         // of the square canvas, in pixels
  bool has_region_heads() const;  // false: a plain CLIP, which has no Scene::region and ground
  bool has_quality_head() const;  // false: no Scene::rated_regions

  // Behind the handle (api/impl.h), for bindings to other languages.
  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  explicit Model(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

// "0.1.0"
std::string_view version();

}  // namespace opencloc
