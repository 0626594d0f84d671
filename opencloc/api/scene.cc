#include <algorithm>
#include <optional>

#include "opencloc/api/impl.h"
#include "opencloc/data/load/loader_sample.h"
#include "opencloc/encode/regions.h"

namespace opencloc {
namespace {

Box clamp_to_unit(const Box& box) {
  const auto unit = [](float x) { return std::clamp(x, 0.0f, 1.0f); };
  return {unit(box.x0), unit(box.y0), unit(box.x1), unit(box.y1)};
}

constexpr size_t kPromptsAtATime = 256;

void need_region_heads(const Model::Impl& model) {
  if (model.region_heads) return;
  throw Error::input("the model has no trained region heads (a plain CLIP)", {},
                     "train with the setting 'objective=cloc', or encode a crop of the picture");
}

// Points and masks: a model with the RoIAlign extractor learned boxes alone.
void need_prompter(const Model::Impl& model) {
  need_region_heads(model);
  if (!model.handle()->roi_extractor) return;
  throw Error::input("the model takes no point or mask prompts", {},
                     "use their box; it was trained with the RoIAlign extractor");
}

std::string text_of(const Box& box) {
  return "box (" + std::to_string(box.x0) + ", " + std::to_string(box.y0) + ", " +
         std::to_string(box.x1) + ", " + std::to_string(box.y1) + ")";
}

// The part of a box of the picture that lies on the canvas.
Box on_canvas(const Box& box, const CanvasMap& map) {
  if (!box.finite() || box.area() <= 0) {
    throw Error::input(text_of(box) + " has no area", {}, "give x0 < x1 and y0 < y1");
  }
  const Box seen = clip_to_unit(map.to_canvas(clip_to_unit(box)));
  if (seen.area() <= 0) {
    throw Error::input(text_of(box) + " lies outside what the model sees of the picture", {},
                       "coordinates are in [0, 1] of the picture");
  }
  return seen;
}

// A point of the picture on the canvas; none when it lies outside.
std::optional<Point> on_canvas(const Point& point, const CanvasMap& map) {
  const auto in_unit = [](float x, float y) { return x >= 0 && x <= 1 && y >= 0 && y <= 1; };
  const Box at = map.to_canvas({point.x, point.y, point.x, point.y});
  if (!in_unit(point.x, point.y) || !in_unit(at.x0, at.y0)) return std::nullopt;
  return Point{at.x0, at.y0};
}

// As in training: kMaskPoints points inside, of those the model sees.
std::vector<Point> mask_points(const Mask& mask, const CanvasMap& map) {
  std::vector<Point> seen;
  for (const Point& point : mask.sample(16 * kMaskPoints)) {
    if (const auto at = on_canvas(point, map)) seen.push_back(*at);
  }
  if (seen.empty()) throw Error::input("the mask lies outside what the model sees of the picture");
  std::vector<Point> chosen;
  for (size_t i = 0; i < kMaskPoints; ++i) {
    chosen.push_back(seen[(2 * i + 1) * seen.size() / (2 * kMaskPoints)]);
  }
  return chosen;
}

torch::Tensor boxes_tensor(const std::vector<Box>& boxes) {
  auto tensor = torch::empty({static_cast<int64_t>(boxes.size()), 4});  // [R, 4]
  float* out = tensor.data_ptr<float>();
  for (const Box& box : boxes) {
    for (const float coordinate : {box.x0, box.y0, box.x1, box.y1}) *out++ = coordinate;
  }
  return tensor;
}

torch::Tensor points_tensor(const std::vector<Point>& points) {
  auto tensor = torch::empty({1, static_cast<int64_t>(points.size()), 2});  // [1, K, 2]
  float* out = tensor.data_ptr<float>();
  for (const Point& point : points) {
    *out++ = point.x;
    *out++ = point.y;
  }
  return tensor;
}

// [R, E]
torch::Tensor embeddings_tensor(std::span<const Embedding> embeddings, int64_t width) {
  auto tensor = torch::empty({static_cast<int64_t>(embeddings.size()), width});
  float* out = tensor.data_ptr<float>();
  for (const Embedding& embedding : embeddings) {
    if (static_cast<int64_t>(embedding.values.size()) != width) {
      throw Error::input("a text embedding of " + std::to_string(embedding.values.size()) +
                             " numbers for a model of " + std::to_string(width),
                         {}, "take it from this model's encode_text");
    }
    out = std::copy(embedding.values.begin(), embedding.values.end(), out);
  }
  return tensor;
}

// All prompts are on the one picture of a scene.
torch::Tensor first_image(int64_t prompts) { return torch::zeros({prompts}, torch::kInt64); }

}  // namespace

int Scene::width() const { return impl_->width; }
int Scene::height() const { return impl_->height; }
Embedding Scene::embedding() const { return to_embeddings(impl_->features.embedding).front(); }

Embedding Scene::region(const Box& box) const { return regions({&box, 1}).front(); }

std::vector<Embedding> Scene::regions(std::span<const Box> boxes) const {
  return to_embeddings(impl_->regions(boxes));
}

std::vector<RatedRegion> Scene::rated_regions(std::span<const Box> boxes) const {
  const auto z = impl_->regions(boxes);  // [R, E]
  Cloc cloc = impl_->model->handle();
  if (!cloc->quality_head) {
    throw Error::input("the model does not say how well boxes hold objects", {},
                       "train it with the setting 'quality_weight'");
  }
  const Model::Impl::Run run(*impl_->model);
  const auto quality = torch::sigmoid(cloc->quality_logits(z)).to(torch::kCPU).contiguous();  // [R]
  auto embeddings = to_embeddings(z);
  std::vector<RatedRegion> rated;
  for (size_t i = 0; i < embeddings.size(); ++i)
    rated.push_back({std::move(embeddings[i]), quality.data_ptr<float>()[i]});
  return rated;
}

torch::Tensor Scene::Impl::regions(std::span<const Box> boxes) const {
  need_region_heads(*model);
  const Model::Impl::Run run(*model);
  Cloc cloc = model->handle();
  std::vector<Box> seen;
  for (const Box& box : boxes) seen.push_back(on_canvas(box, map));
  return encode_regions(default_method(cloc->config(), true), cloc, features,
                        region_rows({seen}, features.tokens.device()));  // [R, E]
}

Embedding Scene::region(const Point& point) const {
  need_prompter(*impl_->model);
  const Model::Impl::Run run(*impl_->model);
  const auto device = impl_->features.tokens.device();
  const auto at = on_canvas(point, impl_->map);
  if (!at) {
    throw Error::input("point (" + std::to_string(point.x) + ", " + std::to_string(point.y) +
                           ") lies outside what the model sees of the picture",
                       {}, "coordinates are in [0, 1] of the picture");
  }
  const auto points = points_tensor({*at}).to(device);
  const auto rows = impl_->model->handle()->encode_regions(impl_->features,
                                                           point_prompts(points, first_image(1)));
  return to_embeddings(rows).front();
}

Embedding Scene::region(const Mask& mask) const {
  need_prompter(*impl_->model);
  const Model::Impl::Run run(*impl_->model);
  const auto device = impl_->features.tokens.device();
  const auto box = boxes_tensor({on_canvas(mask.bounds(), impl_->map)}).to(device);
  const auto points = points_tensor(mask_points(mask, impl_->map)).to(device);
  const auto rows = impl_->model->handle()->encode_regions(
      impl_->features, mask_prompts(box, points, first_image(1)));
  return to_embeddings(rows).front();
}

Embedding Scene::region(std::string_view text) const {
  need_region_heads(*impl_->model);
  const Model::Impl::Run run(*impl_->model);
  const auto device = impl_->features.tokens.device();
  const auto texts = impl_->model->encode_texts({std::string(text)}).to(device);  // [1, E]
  const auto rows =
      impl_->model->handle()->encode_regions(impl_->features, text_prompts(texts, first_image(1)));
  return to_embeddings(rows).front();
}

Box Scene::ground(std::string_view text) const {
  return ground(to_embeddings(impl_->model->encode_texts({std::string(text)})).front());
}

Box Scene::ground(const Embedding& text) const { return ground({&text, 1}).front(); }

std::vector<Box> Scene::ground(std::span<const Embedding> texts) const {
  return impl_->ground(embeddings_tensor(texts, impl_->model->handle()->config().embed_dim));
}

std::vector<Box> Scene::Impl::ground(const torch::Tensor& texts) const {
  need_region_heads(*model);
  const Model::Impl::Run run(*model);
  Cloc cloc = model->handle();
  const int64_t embed_dim = cloc->config().embed_dim;
  if (texts.dim() != 2 || texts.size(1) != embed_dim) {
    throw Error::input(
        "text embeddings of another shape than [n, " + std::to_string(embed_dim) + "]", {},
        "take them from this model's encode_text");
  }
  const auto device = features.tokens.device();
  std::vector<Box> boxes;
  for (const auto& piece : texts.to(device).split(static_cast<int64_t>(kPromptsAtATime))) {
    if (piece.size(0) == 0) break;
    const auto found = cloc->ground(features, piece, first_image(piece.size(0)))
                           .to(torch::kCPU, torch::kFloat)
                           .contiguous();  // [r, 4]
    const float* b = found.data_ptr<float>();
    for (int64_t i = 0; i < found.size(0); ++i, b += 4) {
      if (!Box{b[0], b[1], b[2], b[3]}.finite()) {
        throw Error::failed("the model gives boxes that are not finite numbers", {},
                            "use an earlier checkpoint, and text embeddings without such numbers");
      }
      // Nothing is claimed of what lies beyond the canvas nor, where that is padded, the picture:
      // a box out there becomes a line on the border.
      boxes.push_back(clamp_to_unit(map.to_image(clamp_to_unit({b[0], b[1], b[2], b[3]}))));
    }
  }
  return boxes;
}

}  // namespace opencloc
