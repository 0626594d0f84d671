// make_tiny_model FOLDER: FOLDER/model and FOLDER/picture.png.
#include <cstdio>

#include "opencloc/image/encode.h"
#include "tests/api/tiny_model_directory.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_tiny_model FOLDER\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  opencloc::fixtures::write_tiny_model(folder / "model");
  opencloc::Image picture(60, 40);
  for (size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = (i * 37) % 251;
  opencloc::write_file(folder / "picture.png", opencloc::encode_png(picture));
  return 0;
}
