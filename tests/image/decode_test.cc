// Every kind of picture becomes RGB as Pillow's convert("RGB") makes it; broken ones are errors.
#include <cstring>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/image/encode.h"
#include "opencloc/image/image.h"
#include "opencloc/image/inspect.h"
#include "tests/image/pillow.h"
#include "tests/image/synthetic.h"

namespace opencloc {
namespace {

using ::testing::HasSubstr;

Image gradient() {
  Image image(64, 48);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      image.row(y)[3 * x] = static_cast<uint8_t>(3 * x);
      image.row(y)[3 * x + 1] = static_cast<uint8_t>(4 * y);
      image.row(y)[3 * x + 2] = static_cast<uint8_t>(x + y);
    }
  }
  return image;
}

// Writes one file of each kind, with the RGB bytes and the size and mode Pillow sees.
constexpr const char* kWriteAllKinds = R"(
import struct, warnings, zlib
warnings.simplefilter("ignore")
import numpy as np
from PIL import Image
rng = np.random.default_rng(7)
W, H = 37, 23
y, x = np.mgrid[0:H, 0:W]
smooth = np.stack([x * 6, y * 10, (x + y) * 4], 2).astype(np.uint8)
rgb = Image.fromarray(smooth ^ rng.integers(0, 16, (H, W, 3), dtype=np.uint8))
rgba = rgb.convert("RGBA"); rgba.putalpha(Image.fromarray((x * 7).astype(np.uint8)))
palette = rgb.quantize(50)
grey16 = Image.fromarray((x * 30 + y * 3 - 5).clip(0, 65535).astype(np.int32), "I")
index = open("index.txt", "w")

def keep(name):
    image = Image.open(name)
    pixels = image.convert("RGB")
    open(name + ".rgb", "wb").write(pixels.tobytes())
    index.write(f"{name} {image.format} {image.width} {image.height} {image.mode}\n")

def save(name, image, **options):
    image.save(name, **options)
    keep(name)

save("rgb.png", rgb); save("rgba.png", rgba); save("l.png", rgb.convert("L"))
save("la.png", rgba.convert("LA")); save("1.png", rgb.convert("1")); save("p.png", palette)
save("p4.png", rgb.quantize(13), bits=4); save("p2.png", rgb.quantize(4), bits=2)
save("p1.png", rgb.quantize(2), bits=1); save("ptrns.png", palette, transparency=bytes(range(50)))
save("i16.png", grey16)
save("rgb420.jpg", rgb, quality=80); save("rgb444.jpg", rgb, quality=95, subsampling=0)
save("rgb422.jpg", rgb, quality=50, subsampling=1); save("prog.jpg", rgb, progressive=True)
save("l.jpg", rgb.convert("L")); save("cmyk.jpg", rgb.convert("CMYK"), quality=90)
save("lossy.webp", rgb, quality=70); save("lossless.webp", rgb, lossless=True)
save("alpha.webp", rgba, quality=70); save("alphaless.webp", rgba, lossless=True, exact=True)
save("anim.webp", rgb, save_all=True, append_images=[rgb.rotate(90)], lossless=True)
save("p.gif", palette); save("l.gif", rgb.convert("L")); save("trns.gif", palette, transparency=3)
save("anim.gif", palette, save_all=True, append_images=[palette.rotate(90)])
save("rgb.bmp", rgb); save("l.bmp", rgb.convert("L")); save("p.bmp", palette)
save("1.bmp", rgb.convert("1")); save("rgba.bmp", rgba)
save("rgb.ppm", rgb); save("l.pgm", rgb.convert("L")); save("1.pbm", rgb.convert("1"))
save("i16.pgm", grey16)

def png(name, depth, colour, rows, extra=b"", interlace=0):  # kinds Pillow does not write
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", W, H, depth, colour, 0, 0, interlace)
    data = b"".join(b"\0" + row for row in rows)
    open(name, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra +
                           chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))
    keep(name)

def noise_rows(samples, dtype):
    return [rng.integers(0, 65536, W * samples).astype(dtype).tobytes() for _ in range(H)]

png("rgb16.png", 16, 2, noise_rows(3, ">u2")); png("rgba16.png", 16, 6, noise_rows(4, ">u2"))
png("la16.png", 16, 4, noise_rows(2, ">u2")); png("l16.png", 16, 0, noise_rows(1, ">u2"))
png("l4.png", 4, 0, [rng.bytes((W * 4 + 7) // 8) for _ in range(H)])
png("l2.png", 2, 0, [rng.bytes((W * 2 + 7) // 8) for _ in range(H)])
short = struct.pack(">I", 9) + b"PLTE" + bytes(range(100, 109))
short += struct.pack(">I", zlib.crc32(b"PLTE" + bytes(range(100, 109))))
png("shortpalette.png", 8, 3, noise_rows(1, "u1"), extra=short)

for name in ("rgb", "l", "p", "la16", "l16"):  # interlaced: Pillow writes none, so by hand
    source = {"rgb": (8, 2, np.asarray(rgb)), "l": (8, 0, np.asarray(rgb.convert("L"))[..., None]),
              "p": (8, 3, np.asarray(palette)[..., None]),
              "la16": (16, 4, rng.integers(0, 256, (H, W, 4), dtype=np.uint8)),
              "l16": (16, 0, rng.integers(0, 256, (H, W, 2), dtype=np.uint8))}[name]
    rows = []
    for x0, y0, dx, dy in ((0,0,8,8),(4,0,8,8),(0,4,4,8),(2,0,4,4),(0,2,2,4),(1,0,2,2),(0,1,1,2)):
        rows += [row.tobytes() for row in source[2][y0::dy, x0::dx] if row.size]
    plte = b""
    if name == "p":
        colours = bytes(palette.getpalette()[:150])
        plte = struct.pack(">I", len(colours)) + b"PLTE" + colours
        plte += struct.pack(">I", zlib.crc32(b"PLTE" + colours))
    png(f"interlaced_{name}.png", source[0], source[1], rows, extra=plte, interlace=1)

def pnm(name, head, body):
    open(name, "wb").write(head + body); keep(name)
pnm("plain.ppm", b"P3 # c\n3 2 200\n", b"0 1 2 3 4 5 6 7 8\n100 101 102 200 199 198 50 # x\n 60 70\n")
pnm("plain.pbm", b"P1\n4 2\n", b"01 1 0\n1111")
pnm("odd.pgm", b"P5\n4 2\n100\n", bytes([0, 50, 100, 33, 7, 8, 9, 10]))
pnm("deep.ppm", b"P6\n2 1\n1000\n", struct.pack(">6H", 0, 500, 1000, 1, 2, 999))

def bmp(name, bits, compression, body, palette=b"", extra=b""):
    offset = 54 + len(extra) + len(palette)
    head = struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset)
    head += struct.pack("<IiiHHIIiiII", 40, 8, 4, 1, bits, compression, len(body), 0, 0, len(palette) // 4, 0)
    open(name, "wb").write(head + extra + palette + body); keep(name)
colours = bytes(range(64))
bmp("555.bmp", 16, 0, rng.bytes(64)); bmp("32.bmp", 32, 0, rng.bytes(128))
bmp("565.bmp", 16, 3, rng.bytes(64), extra=struct.pack("<III", 0xf800, 0x7e0, 0x1f))
bmp("4.bmp", 4, 0, rng.bytes(16), colours)
bmp("rle8.bmp", 8, 1, bytes([8, 3, 0, 0, 0, 5, 1, 2, 3, 4, 5, 0, 3, 9, 0, 0, 2, 1, 6, 2, 0, 0, 8, 1, 0, 1]), colours)
bmp("rle4.bmp", 4, 2, bytes([8, 0x12, 0, 0, 0, 4, 0x34, 0x56, 4, 0x78, 0, 0, 8, 9, 0, 0, 8, 1, 0, 1]), colours)
)";

TEST(Decode, EveryKindBecomesRgbAsInPillow) {
  OPENCLOC_NEEDS_PILLOW();
  const ScratchFolder folder;
  run_python(folder, kWriteAllKinds);
  std::istringstream index(read_file(folder / "index.txt"));
  std::string name, format, mode;
  int width = 0, height = 0, files = 0;
  while (index >> name >> format >> width >> height >> mode) {
    SCOPED_TRACE(name);
    ++files;
    const std::string bytes = read_file(folder / name);
    const ImageInfo info = probe_image(bytes);
    EXPECT_TRUE(info.ok) << info.error;
    EXPECT_EQ(info.format, format);
    EXPECT_EQ(info.width, width);
    EXPECT_EQ(info.height, height);
    EXPECT_EQ(info.mode, mode);
    const Image image = Image::decode(bytes, name);
    const std::string expected = read_file(folder / (name + ".rgb"));
    ASSERT_EQ(image.pixels.size(), expected.size());
    EXPECT_EQ(std::memcmp(image.pixels.data(), expected.data(), expected.size()), 0);
  }
  EXPECT_EQ(files, 57);
}

TEST(Decode, DraftModeHalvesOnlyWhatStaysLargeEnough) {
  const std::string jpeg = encode_jpeg(pattern(400, 300));
  DecodeOptions options;
  const auto size = [&](int shrink_to) {
    options.shrink_to = shrink_to;
    const Image image = Image::decode(jpeg, "test", options);
    return std::pair(image.width, image.height);
  };
  EXPECT_EQ(size(0), std::pair(400, 300));
  EXPECT_EQ(size(224), std::pair(400, 300));
  EXPECT_EQ(size(150), std::pair(200, 150));
  EXPECT_EQ(size(32), std::pair(50, 38));
}

TEST(Decode, CutShortAnywhereIsAnErrorThatNamesTheFile) {
  const Image image = pattern(40, 30);
  for (const std::string& bytes : {encode_jpeg(image), encode_png(image)}) {
    const size_t enough = bytes[0] == '\x89' ? bytes.size() - 30 : bytes.size() - 1;
    for (size_t size = 0; size < enough; ++size) {
      EXPECT_FALSE(probe_image(bytes.substr(0, size)).ok) << size << " of " << bytes.size();
    }
    EXPECT_TRUE(probe_image(bytes).ok);
    try {
      Image::decode(bytes.substr(0, bytes.size() / 2), "shard.tar#000017.jpg");
      FAIL();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("truncated"));
      EXPECT_THAT(error.what(), HasSubstr("shard.tar#000017.jpg"));
    }
  }
}

TEST(Decode, FlippedBytesNeverCrash) {
  const Image image = noise(24, 24, 9);
  Rng rng(10);
  for (const std::string& good : {encode_jpeg(image, 80), encode_png(image)}) {
    for (int i = 0; i < 2000; ++i) {
      std::string bytes = good;
      for (int k = 0; k < 3; ++k) bytes[rng.below(bytes.size())] = static_cast<char>(rng.next());
      DecodeOptions small;
      small.max_pixels = 1 << 16;
      const ImageInfo info = probe_image(bytes, small);
      EXPECT_EQ(info.ok, info.error.empty());
    }
  }
}

TEST(Decode, TooManyPixelsAreRefusedBeforeTheyAreAllocated) {
  DecodeOptions options;
  options.max_pixels = 1199;
  const Image image = pattern(40, 30);
  for (const std::string& bytes :
       {encode_jpeg(image), encode_png(image), std::string("P6\n40 30\n255\n")}) {
    const ImageInfo info = probe_image(bytes, options);
    EXPECT_FALSE(info.ok);
    EXPECT_THAT(info.error, HasSubstr("40x30 is more than the limit of 1199 pixels"));
  }
  // A header that promises 160 million pixels with nothing behind it.
  EXPECT_THAT(probe_image("P6\n16000 10000\n255\nabc").error, HasSubstr("truncated"));
}

// A 16x16 progressive grey picture whose last scan is repeated: each pass over a huge picture would
// cost seconds.
TEST(Decode, EndlessProgressiveScansAreRefused) {
  constexpr const char* kHex =
      "ffd8ffe000104a46494600010100000100010000ffdb0043001b12141714111b1716171e1c1b2028422b28252528"
      "513a3d3042605565645f555d5b6a7899816a7190735b5d85b586909ea3abadab6780bcc9baa6c799a8aba4ffc200"
      "0b080010001001011100ffc400160001010100000000000000000000000000010405ffda00080101000000"
      "0195d27fffc4001510010100000000000000000000000000000012ffda000801010001050284210fffc400"
      "14100100000000000000000000000000000020ffda0008010100063f021fffc4001410010000000000000000"
      "0000000000000020ffda0008010100013f211fffda00080101000000100fffc40016100003000000000000"
      "0000000000000000000161ffda0008010100013f105229148a4fffd9";
  std::string bytes;
  for (const char* hex = kHex; *hex; hex += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex, 2), nullptr, 16));
  }
  EXPECT_TRUE(probe_image(bytes).ok);
  constexpr size_t kScan = 15;  // start of scan to the end of its data, before the end marker
  const std::string scan = bytes.substr(bytes.size() - 2 - kScan, kScan);
  bytes.resize(bytes.size() - 2);
  for (int i = 0; i < 600; ++i) bytes += scan;
  EXPECT_THAT(probe_image(bytes + "\xff\xd9").error, HasSubstr("too many progressive scans"));
}

TEST(Decode, SaysWhatItDoesNotSupport) {
  using namespace std::string_view_literals;
  EXPECT_THAT(probe_image("").error, HasSubstr("empty"));
  EXPECT_THAT(probe_image("hello, world").error, HasSubstr("not a picture we know"));
  const ImageInfo tiff = probe_image("II*\0\x08\0\0\0"sv);
  EXPECT_EQ(tiff.format, "TIFF");
  EXPECT_THAT(tiff.error, HasSubstr("TIFF is not supported"));
}

TEST(Encode, PngKeepsEveryPixelAndJpegNearlyAll) {
  const Image image = pattern(61, 45);
  EXPECT_EQ(Image::decode(encode_png(image), "png").pixels, image.pixels);
  const Image flat = gradient();
  const Image back = Image::decode(encode_jpeg(flat, 95), "jpeg");
  ASSERT_EQ(back.pixels.size(), flat.pixels.size());
  int worst = 0;
  for (size_t i = 0; i < back.pixels.size(); ++i) {
    worst = std::max(worst, std::abs(back.pixels[i] - flat.pixels[i]));
  }
  EXPECT_LE(worst, 12);
  EXPECT_THROW(encode_png(Image{}), Error);
  EXPECT_THROW(encode_jpeg(Image{}), Error);
  EXPECT_THROW(encode_jpeg(image, 0), Error);
}

TEST(Inspect, AnswersForGoodBrokenAndMissingFiles) {
  const ScratchFolder folder;
  write_file(folder / "good.png", encode_png(pattern(5, 4)));
  write_file(folder / "broken.png", encode_png(pattern(5, 4)).substr(0, 40));
  const Json good = inspect_image_file(folder / "good.png");
  EXPECT_EQ(good.dump(),
            R"({"path":")" + (folder / "good.png").string() +
                R"(","ok":true,"format":"PNG","width":5,"height":4,"mode":"RGB","error":""})");
  const Json broken = inspect_image_file(folder / "broken.png");
  EXPECT_FALSE(broken["ok"]);
  EXPECT_EQ(broken["format"], "PNG");
  EXPECT_NE(broken["error"], "");
  EXPECT_NE(inspect_image_file(folder / "missing.png")["error"], "");
}

}  // namespace
}  // namespace opencloc
