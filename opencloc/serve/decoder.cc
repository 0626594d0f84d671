#include "opencloc/serve/decoder.h"

#include "opencloc/base/error.h"

namespace opencloc::serve {
namespace {
constexpr int64_t kBytesAPixel = 3;
constexpr int kShortestSide = 3;  // less is no picture for any model
}  // namespace

void Decoder::Held::free(int64_t freed_bytes) {
  {
    const std::lock_guard lock(mutex);
    bytes -= freed_bytes;
  }
  freed.notify_all();
}

std::shared_ptr<Image> Decoder::decode(std::string_view bytes, std::string_view name) {
  int64_t share = kBytesAPixel * limits_.max_pixels;  // until its size is known
  {
    std::unique_lock lock(held_->mutex);
    held_->freed.wait(
        lock, [&] { return held_->bytes == 0 || held_->bytes + share <= limits_.all_bytes; });
    held_->bytes += share;
  }
  try {
    DecodeOptions options;
    options.max_pixels = limits_.max_pixels;
    auto decoded = std::make_unique<Image>(Image::decode(bytes, name, options));
    if (decoded->width < kShortestSide || decoded->height < kShortestSide) {
      throw Error::input("the picture is " + std::to_string(decoded->width) + " x " +
                             std::to_string(decoded->height) + " pixels",
                         name, "send one with sides of 3 or more");
    }
    const auto size = static_cast<int64_t>(decoded->pixels.size());
    held_->free(share - size);
    share = size;
    return {decoded.release(), [held = held_, size](Image* image) {
              delete image;
              held->free(size);
            }};
  } catch (...) {
    held_->free(share);
    throw;
  }
}

int64_t Decoder::held_bytes() const {
  const std::lock_guard lock(held_->mutex);
  return held_->bytes;
}

}  // namespace opencloc::serve
