#include "opencloc/model/owlv2/owlv2_input.h"

#include <algorithm>
#include <cmath>

namespace opencloc {
namespace {

constexpr double kGrey = 0.5;

// One axis of the canvas: the first `outputs` samples can see the picture, and are made from
// `inputs` pixels (the picture's and enough padding for the filter).
struct Reach {
  int outputs;
  int inputs;
};

Reach reach(int picture, int longest, int canvas) {
  const double scale = static_cast<double>(longest) / canvas;
  const double support = std::max(scale, 1.0);
  Reach result{};
  result.outputs = std::min(canvas, static_cast<int>(std::ceil((picture + support) / scale)));
  const double needed = std::ceil(result.outputs * scale + support) + 1;
  result.inputs = std::max(picture, static_cast<int>(std::min<double>(longest, needed)));
  return result;
}

}  // namespace

torch::Tensor owlv2_input(const Image& image, const Owlv2InputOptions& options) {
  const int side = static_cast<int>(options.image_size);
  const int longest = std::max(image.width, image.height);
  const Reach across = reach(image.width, longest, side);
  const Reach down = reach(image.height, longest, side);
  const double zoom = static_cast<double>(side) / longest;

  // transformers resizes numbers, not 8-bit pixels: a rounding to 8 bits moves boxes.
  auto bytes = torch::from_blob(const_cast<uint8_t*>(image.pixels.data()),
                                {image.height, image.width, 3}, torch::kByte);
  auto part = bytes.permute({2, 0, 1}).to(torch::kFloat).div_(255).unsqueeze(0);  // [1, 3, h, w]
  part = torch::constant_pad_nd(
      part, {0, across.inputs - image.width, 0, down.inputs - image.height}, kGrey);
  part = at::_upsample_bilinear2d_aa(part.contiguous(), {down.outputs, across.outputs},
                                     /*align_corners=*/false, zoom, zoom)[0];  // [3, h', w']

  auto canvas = torch::full({3, side, side}, kGrey);  // [3, S, S]
  canvas.slice(1, 0, down.outputs).slice(2, 0, across.outputs).copy_(part);
  for (int c = 0; c < 3; ++c) {
    const auto channel = static_cast<size_t>(c);
    canvas[c].sub_(options.mean[channel]).div_(options.std[channel]);
  }
  return canvas;
}

Box owlv2_box_to_image(const Box& canvas_box, int width, int height) {
  const auto longest = static_cast<float>(std::max(width, height));
  const float x = longest / static_cast<float>(width), y = longest / static_cast<float>(height);
  return clip_to_unit({canvas_box.x0 * x, canvas_box.y0 * y, canvas_box.x1 * x, canvas_box.y1 * y});
}

}  // namespace opencloc
