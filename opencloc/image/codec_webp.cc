// WebP through libwebp; of an animation the first frame. Alpha is dropped, not composited.
#include <memory>

#include <webp/decode.h>
#include <webp/demux.h>

#include "opencloc/image/codec.h"

namespace opencloc::detail {
namespace {

const char* reason(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
      return "the file is truncated";
    case VP8_STATUS_OUT_OF_MEMORY:
      return "out of memory";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "this kind of WebP is not supported";
    default:
      return "the data are damaged";
  }
}

void decode_first_frame(const uint8_t* data, size_t size, Image& image) {
  WebPAnimDecoderOptions options;
  WebPAnimDecoderOptionsInit(&options);
  options.color_mode = MODE_RGBA;
  const WebPData webp{data, size};
  const std::unique_ptr<WebPAnimDecoder, decltype(&WebPAnimDecoderDelete)> decoder(
      WebPAnimDecoderNew(&webp, &options), WebPAnimDecoderDelete);
  uint8_t* rgba = nullptr;
  int timestamp = 0;
  if (!decoder || !WebPAnimDecoderGetNext(decoder.get(), &rgba, &timestamp)) {
    throw CodecError("the first frame does not decode");
  }
  for (size_t i = 0; i < image.pixels.size(); i += 3, rgba += 4) {
    std::copy(rgba, rgba + 3, image.pixels.data() + i);
  }
}

}  // namespace

void decode_webp(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                 Image& image) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPDecoderConfig config;
  WebPInitDecoderConfig(&config);
  const VP8StatusCode header = WebPGetFeatures(data, bytes.size(), &config.input);
  if (header != VP8_STATUS_OK) throw CodecError(reason(header));
  info.mode = config.input.has_alpha ? "RGBA" : "RGB";
  set_size(info, config.input.width, config.input.height, options);

  image = Image(info.width, info.height);
  if (config.input.has_animation) return decode_first_frame(data, bytes.size(), image);
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {image.pixels.data(), 3 * info.width, image.pixels.size()};
  const VP8StatusCode body = WebPDecode(data, bytes.size(), &config);
  WebPFreeDecBuffer(&config.output);
  if (body != VP8_STATUS_OK) throw CodecError(reason(body));
}

}  // namespace opencloc::detail
