// Netpbm: P1 to P6. Depths other than 8 bits are scaled as Pillow does.
#include <cctype>
#include <cmath>
#include <cstring>
#include <string>

#include "opencloc/image/codec.h"

namespace opencloc::detail {
namespace {

// Tokens between white space; '#' starts a comment up to the end of the line.
class Tokens {
 public:
  explicit Tokens(std::string_view bytes) : bytes_(bytes) {}

  // Skips white space and comments; -1 at the end of the file.
  int next_char() {
    while (at_ < bytes_.size()) {
      const auto c = static_cast<unsigned char>(bytes_[at_++]);
      if (c == '#') {
        while (at_ < bytes_.size() && bytes_[at_] != '\n' && bytes_[at_] != '\r') ++at_;
      } else if (!std::isspace(c)) {
        return c;
      }
    }
    return -1;
  }

  // A decimal number and the one white space character after it.
  int64_t number() {
    int c = next_char();
    if (c < 0) throw CodecError("the file is truncated");
    int64_t value = 0;
    for (int digits = 0; c >= '0' && c <= '9'; ++digits) {
      if (digits == 10) throw CodecError("a number is too long");
      value = 10 * value + (c - '0');
      c = at_ < bytes_.size() ? static_cast<unsigned char>(bytes_[at_++]) : ' ';
    }
    if (!std::isspace(c)) throw CodecError("a number is not one");
    return value;
  }

  std::string_view rest() const { return bytes_.substr(at_); }

 private:
  std::string_view bytes_;
  size_t at_ = 2;  // past the magic
};

// Sample 0..most to 8 bits. Deep greys are Pillow's mode "I": 0..65535, then clipped, not scaled.
uint8_t to_byte(int64_t sample, int64_t most, bool deep_grey) {
  const double scaled = static_cast<double>(sample) / static_cast<double>(most);
  const double value = std::nearbyint(scaled * (deep_grey ? 65535 : 255));
  return static_cast<uint8_t>(std::min(value, 255.0));
}

void put(uint8_t*& out, uint8_t value, int channels) {
  for (int i = channels; i < 4; ++i) *out++ = value;  // grey: three times, RGB: once
}

}  // namespace

void decode_pnm(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                Image& image) {
  const char kind = bytes[1];
  Tokens tokens(bytes);
  const int64_t width = tokens.number();
  const int64_t height = tokens.number();
  const bool bitmap = kind == '1' || kind == '4';
  const int channels = kind == '3' || kind == '6' ? 3 : 1;
  const int64_t most = bitmap ? 1 : tokens.number();
  if (most < 1 || most > 65535) throw CodecError("the largest value is not in 1..65535");
  const bool deep_grey = channels == 1 && most > 255;
  info.mode = bitmap ? "1" : channels == 3 ? "RGB" : deep_grey ? "I" : "L";
  set_size(info, width, height, options);

  const int64_t samples = width * height * channels;
  const int64_t sample_bytes = most > 255 ? 2 : 1;
  const bool plain = kind <= '3';
  const std::string_view data = tokens.rest();
  // A plain sample takes at least one character.
  const int64_t needed =
      kind == '4' ? (width + 7) / 8 * height : samples * (plain ? 1 : sample_bytes);
  if (static_cast<int64_t>(data.size()) < needed) throw CodecError("the file is truncated");
  image = Image(info.width, info.height);
  uint8_t* out = image.pixels.data();
  const auto* raw = reinterpret_cast<const uint8_t*>(data.data());
  switch (kind) {
    case '1':
      for (int64_t i = 0; i < samples; ++i) {
        const int c = tokens.next_char();
        if (c != '0' && c != '1')
          throw CodecError(c < 0 ? "the file is truncated" : "a bit is neither 0 nor 1");
        put(out, c == '0' ? 255 : 0, channels);
      }
      break;
    case '2':
    case '3':
      for (int64_t i = 0; i < samples; ++i) {
        const int64_t sample = tokens.number();
        if (sample > most) throw CodecError("a value is larger than the largest value");
        put(out, to_byte(sample, most, deep_grey), channels);
      }
      break;
    case '4':
      for (int64_t y = 0; y < height; ++y, raw += (width + 7) / 8) {
        for (int64_t x = 0; x < width; ++x) {
          put(out, (raw[x / 8] >> (7 - x % 8)) & 1 ? 0 : 255, channels);
        }
      }
      break;
    default:
      for (int64_t i = 0; i < samples; ++i, raw += sample_bytes) {
        const int64_t sample = sample_bytes == 2 ? raw[0] * 256 + raw[1] : raw[0];
        put(out, to_byte(sample, most, deep_grey), channels);
      }
  }
}

}  // namespace opencloc::detail
