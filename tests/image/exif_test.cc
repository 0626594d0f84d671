#include "opencloc/image/exif.h"

#include <string>

#include <gtest/gtest.h>

namespace opencloc {
namespace {

std::string tiff(bool big_endian, int orientation) {
  const std::string value(1, static_cast<char>(orientation));
  const std::string zero(1, '\0');
  return big_endian ? std::string("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19) + value +
                          std::string(6, '\0')
                    : std::string("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18) + value +
                          std::string(7, '\0');
}

std::string jpeg(const std::string& block) {
  const std::string exif = std::string("Exif\0\0", 6) + block;
  return std::string("\xff\xd8\xff\xe0\0\x04xx\xff\xe1\0", 11) +
         static_cast<char>(exif.size() + 2) + exif + "\xff\xda";
}

TEST(Exif, ReadsTheOrientationOfEveryFormat) {
  EXPECT_EQ(exif_orientation(jpeg(tiff(false, 6))), 6);
  EXPECT_EQ(exif_orientation(jpeg(tiff(true, 8))), 8);
  const std::string block = tiff(false, 3);
  const std::string length = std::string(3, '\0') + static_cast<char>(block.size());
  EXPECT_EQ(exif_orientation("\x89PNG\r\n\x1a\n" + length + "eXIf" + block + "crc_"), 3);
  const std::string size = static_cast<char>(block.size()) + std::string(3, '\0');
  EXPECT_EQ(exif_orientation("RIFF....WEBPEXIF" + size + block), 3);
}

TEST(Exif, NonsenseIsNoTurn) {
  EXPECT_EQ(exif_orientation(""), 1);
  EXPECT_EQ(exif_orientation("\xff\xd8"), 1);
  EXPECT_EQ(exif_orientation(jpeg(tiff(false, 0))), 1);
  EXPECT_EQ(exif_orientation(jpeg(tiff(false, 9))), 1);
  const std::string whole = jpeg(tiff(true, 6));
  for (size_t i = 0; i < whole.size(); ++i) {
    const int orientation = exif_orientation(whole.substr(0, i));
    EXPECT_TRUE(orientation == 1 || orientation == 6) << i;
  }
}

// The pixel at the stored top left corner, where each turn shows it.
TEST(Exif, BoxesAreTurnedBack) {
  const Box corner{0, 0, 0.25f, 0.5f};
  const Box shown[] = {{0, 0, 0.25f, 0.5f}, {0.75f, 0, 1, 0.5f}, {0.75f, 0.5f, 1, 1},
                       {0, 0.5f, 0.25f, 1}, {0, 0, 0.5f, 0.25f}, {0.5f, 0, 1, 0.25f},
                       {0.5f, 0.75f, 1, 1}, {0, 0.75f, 0.5f, 1}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    EXPECT_EQ(box_as_stored(shown[orientation - 1], orientation), corner) << orientation;
  }
}

}  // namespace
}  // namespace opencloc
