// Bytes -> pixels, within limits on a picture and on all that are held.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "opencloc/image/image.h"

namespace opencloc::serve {

struct DecoderLimits {
  int64_t max_pixels = 50'000'000;  // of a picture; checked before they are allocated
  int64_t all_bytes = 512 << 20;    // of pixels that wait for the model
};

class Decoder {
 public:
  explicit Decoder(const DecoderLimits& limits)
      : limits_(limits), held_(std::make_shared<Held>()) {}
  // Waits until as much is free as the largest picture takes. What comes back frees its share when
  // it is dropped. Throws Error (input) for what does not decode; `name` stands in the message.
  std::shared_ptr<Image> decode(std::string_view bytes, std::string_view name);
  int64_t held_bytes() const;

 private:
  struct Held {
    std::mutex mutex;
    std::condition_variable freed;
    int64_t bytes = 0;
    void free(int64_t bytes);
  };
  const DecoderLimits limits_;
  const std::shared_ptr<Held> held_;
};

}  // namespace opencloc::serve
