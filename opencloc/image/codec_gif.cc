// GIF through giflib: the first frame, on a canvas as large as Pillow makes it.
#include <algorithm>
#include <cstring>
#include <memory>

#include <gif_lib.h>

#include "opencloc/image/codec.h"

namespace opencloc::detail {
namespace {

struct Reader {
  std::string_view bytes;
  size_t position = 0;
};

int on_read(GifFileType* gif, GifByteType* out, int size) {
  auto* reader = static_cast<Reader*>(gif->UserData);
  if (reader->position == reader->bytes.size() && size == 1) {
    // A missing end mark is forgiven, as in Pillow; giflib still reports missing pixels.
    *out = 0;
    return 1;
  }
  const size_t count = std::min(static_cast<size_t>(size), reader->bytes.size() - reader->position);
  std::memcpy(out, reader->bytes.data() + reader->position, count);
  reader->position += count;
  return static_cast<int>(count);
}

struct Close {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};
using Gif = std::unique_ptr<GifFileType, Close>;

[[noreturn]] void fail(int code) {
  const char* text = GifErrorString(code);
  throw CodecError(text ? text : "the data are damaged");
}
void require(int status, const Gif& gif) {
  if (status != GIF_OK) fail(gif->Error);
}

// Reads up to the first frame's descriptor. Returns the transparent index, or -1.
int find_first_frame(const Gif& gif) {
  int transparent = -1;
  for (;;) {
    GifRecordType type = UNDEFINED_RECORD_TYPE;
    require(DGifGetRecordType(gif.get(), &type), gif);
    if (type == TERMINATE_RECORD_TYPE) throw CodecError("there is no frame");
    if (type == IMAGE_DESC_RECORD_TYPE) break;
    if (type != EXTENSION_RECORD_TYPE) continue;
    int code = 0;
    GifByteType* block = nullptr;
    require(DGifGetExtension(gif.get(), &code, &block), gif);
    if (code == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4) {
      GraphicsControlBlock control;
      if (DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK) {
        transparent = control.TransparentColor;
      }
    }
    while (block) require(DGifGetExtensionNext(gif.get(), &block), gif);
  }
  require(DGifGetImageDesc(gif.get()), gif);
  return transparent;
}

// Pillow's test for a palette it need not keep.
bool is_grey_ramp(const ColorMapObject* colours) {
  for (int i = 0; colours && i < colours->ColorCount; ++i) {
    const GifColorType& colour = colours->Colors[i];
    if (colour.Red != i || colour.Green != i || colour.Blue != i) return false;
  }
  return true;
}

// A colour a file leaves out is a grey, as in Pillow.
void make_palette(const GifFileType& gif, uint8_t (*palette)[3]) {
  for (int i = 0; i < 256; ++i) std::memset(palette[i], i, 3);
  const ColorMapObject* colours = gif.Image.ColorMap ? gif.Image.ColorMap : gif.SColorMap;
  const int count = colours ? std::min(colours->ColorCount, 256) : 0;
  for (int i = 0; i < count; ++i) {
    const GifColorType& colour = colours->Colors[i];
    palette[i][0] = colour.Red;
    palette[i][1] = colour.Green;
    palette[i][2] = colour.Blue;
  }
}

}  // namespace

void decode_gif(std::string_view bytes, const DecodeOptions& options, ImageInfo& info,
                Image& image) {
  Reader reader{bytes};
  int code = 0;
  const Gif gif(DGifOpen(&reader, on_read, &code));
  if (!gif) fail(code);
  const int transparent = find_first_frame(gif);
  const GifImageDesc& frame = gif->Image;
  const ColorMapObject* colours = frame.ColorMap ? frame.ColorMap : gif->SColorMap;
  info.mode = is_grey_ramp(colours) ? "L" : "P";
  // A frame that sticks out enlarges the picture.
  set_size(info, std::max(gif->SWidth, frame.Left + frame.Width),
           std::max(gif->SHeight, frame.Top + frame.Height), options);
  if (frame.Width < 1 || frame.Height < 1) throw CodecError("the first frame is empty");

  uint8_t palette[256][3];
  make_palette(*gif, palette);
  image = Image(info.width, info.height);
  const uint8_t* background = palette[std::max(0, transparent)];
  for (size_t i = 0; i < image.pixels.size(); i += 3) std::memcpy(&image.pixels[i], background, 3);

  std::vector<GifPixelType> line(frame.Width);
  constexpr int kStart[] = {0, 4, 2, 1}, kStep[] = {8, 8, 4, 2};  // the four interlaced passes
  const int passes = frame.Interlace ? 4 : 1;
  for (int pass = 0; pass < passes; ++pass) {
    const int step = frame.Interlace ? kStep[pass] : 1;
    for (int y = frame.Interlace ? kStart[pass] : 0; y < frame.Height; y += step) {
      require(DGifGetLine(gif.get(), line.data(), frame.Width), gif);
      uint8_t* out = image.row(frame.Top + y) + 3 * static_cast<size_t>(frame.Left);
      for (int x = 0; x < frame.Width; ++x)
        std::memcpy(out + 3 * static_cast<size_t>(x), palette[line[x]], 3);
    }
  }
}

}  // namespace opencloc::detail
