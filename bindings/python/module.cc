// The extension module opencloc._core. Tensors go in and come out as torch.Tensor without a copy;
// opencloc/__init__.py gives it its Python face. The interpreter's lock is let go wherever the
// model runs.
#include <string>
#include <vector>

#include <torch/extension.h>
#include <torch/utils.h>

#include "opencloc/api/impl.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/model/clip/preprocess.h"

namespace py = pybind11;

namespace opencloc {
namespace {

constexpr int64_t kTextsAtATime = 32;

Image to_image(const torch::Tensor& pixels) {
  if (pixels.dim() != 3 || pixels.size(2) != 3 || pixels.scalar_type() != torch::kUInt8 ||
      pixels.numel() == 0) {
    throw Error::input("a picture is a uint8 tensor [height, width, 3]", "opencloc",
                       "give that, a path, or a PIL image");
  }
  const auto dense = pixels.cpu().contiguous();
  Image image(static_cast<int>(dense.size(1)), static_cast<int>(dense.size(0)));
  std::copy_n(dense.data_ptr<uint8_t>(), dense.numel(), image.pixels.data());
  return image;
}

// [n, 3, S, S]
torch::Tensor read_pixels(const Model& model, const std::vector<std::string>& paths) {
  std::vector<torch::Tensor> pixels(paths.size());
  const auto& config = model.impl().model->config();
  parallel_for(static_cast<int64_t>(paths.size()), available_cpus(), [&](int64_t i) {
    const auto place = static_cast<size_t>(i);
    pixels[place] = preprocess(Image::read(paths[place]), config).pixels;
  });
  return torch::stack(pixels);
}

// pixels [n, 3, S, S] float, ready -> [n, E] of unit length.
torch::Tensor encode_pixels(const Model& model, const torch::Tensor& pixels) {
  const Model::Impl::Run run(model.impl());
  Cloc cloc = model.impl().handle();
  const int64_t side = cloc->config().vision.image_size;
  if (pixels.dim() != 4 || pixels.size(1) != 3 || pixels.size(2) != side ||
      pixels.size(3) != side || pixels.scalar_type() != torch::kFloat) {
    throw Error::input("ready pixels are a float32 tensor [n, 3, " + std::to_string(side) + ", " +
                           std::to_string(side) + "]",
                       "opencloc", "make them with Model.preprocess");
  }
  return normalized(cloc->encode_image(pixels.to(cloc->logit_scale.device())).embedding);
}

// -> [n, E] of unit length.
torch::Tensor encode_texts(const Model& model, const std::vector<std::string>& texts) {
  return model.impl().encode_texts(texts);
}

// boxes [R, 4] in [0, 1] of the picture.
std::vector<Box> to_boxes(const torch::Tensor& boxes) {
  if (boxes.dim() != 2 || boxes.size(1) != 4)
    throw Error::input("boxes are a tensor [n, 4]", "opencloc", "give x0, y0, x1, y1 in [0, 1]");
  const auto dense = boxes.to(torch::kCPU, torch::kFloat).contiguous();
  std::vector<Box> result;
  const float* b = dense.data_ptr<float>();
  for (int64_t i = 0; i < dense.size(0); ++i, b += 4) result.push_back({b[0], b[1], b[2], b[3]});
  return result;
}

Mask to_mask(const torch::Tensor& mask) {
  if (mask.dim() != 2)
    throw Error::input("a mask is a tensor [height, width]", "opencloc", "true is inside");
  const auto dense = mask.cpu().ne(0).to(torch::kUInt8).contiguous();
  const auto* first = dense.data_ptr<uint8_t>();
  return {static_cast<int>(dense.size(1)),
          static_cast<int>(dense.size(0)),
          {first, first + dense.numel()}};
}

// Embedding of unit length -> [E].
torch::Tensor to_tensor(const Embedding& embedding) { return torch::tensor(embedding.values); }

// texts [n, E] -> boxes [n, 4] of the picture.
torch::Tensor ground(const Scene& scene, const torch::Tensor& texts) {
  const auto boxes = scene.impl().ground(texts.to(torch::kFloat));
  auto result = torch::empty({static_cast<int64_t>(boxes.size()), 4});
  float* out = result.data_ptr<float>();
  for (const Box& box : boxes) {
    for (const float coordinate : {box.x0, box.y0, box.x1, box.y1}) *out++ = coordinate;
  }
  return result;
}

using NoLock = py::call_guard<py::gil_scoped_release>;

}  // namespace

PYBIND11_MODULE(_core, m) {
  py::register_exception<Error>(m, "Error", PyExc_RuntimeError);
  m.attr("__version__") = std::string(version());

  py::class_<Scene>(m, "Scene")
      .def_property_readonly("width", &Scene::width)
      .def_property_readonly("height", &Scene::height)
      .def(
          "embedding", [](const Scene& s) { return normalized(s.impl().features.embedding)[0]; },
          NoLock())
      .def("tokens", [](const Scene& s) { return patch_tokens(s.impl().features.tokens)[0]; })
      .def(
          "regions",
          [](const Scene& s, const torch::Tensor& boxes) {
            return normalized(s.impl().regions(to_boxes(boxes)));
          },
          NoLock())
      .def(
          "region_at",
          [](const Scene& s, float x, float y) {
            return to_tensor(s.region(Point{x, y}));
          },
          NoLock())
      .def(
          "region_of_mask",
          [](const Scene& s, const torch::Tensor& mask) {
            return to_tensor(s.region(to_mask(mask)));
          },
          NoLock())
      .def(
          "region_of_text",
          [](const Scene& s, const std::string& text) { return to_tensor(s.region(text)); },
          NoLock())
      .def("ground", &ground, NoLock());

  py::class_<Model>(m, "Model")
      .def_static(
          "load",
          [](const std::string& directory, const std::string& device, int threads,
             const std::string& precision) {
            return Model::load(directory,
                               {.device = device, .threads = threads, .precision = precision});
          },
          NoLock())
      .def_property_readonly("embedding_width", &Model::embedding_width)
      .def_property_readonly("image_size", &Model::image_size)
      .def_property_readonly("has_region_heads", &Model::has_region_heads)
      .def("read_pixels", &read_pixels, NoLock())
      .def(
          "preprocess",
          [](const Model& model, const torch::Tensor& picture) {
            return preprocess(to_image(picture), model.impl().model->config()).pixels;
          },
          NoLock())
      .def("encode_pixels", &encode_pixels, NoLock())
      .def("encode_texts", &encode_texts, NoLock())
      .def(
          "scene_of_file",
          [](const Model& model, const std::string& path) {
            return model.encode(Image::read(path));
          },
          NoLock())
      .def(
          "scene_of_picture",
          [](const Model& model, const torch::Tensor& picture) {
            return model.encode(to_image(picture));
          },
          NoLock());
}

}  // namespace opencloc
