// Boxes of other detectors (label --boxes): the bytes are the file, of lines or of COCO's results.
// The file lies in memory (/dev/shm).
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "fuzz/fuzz_target.h"
#include "opencloc/base/log.h"
#include "opencloc/label/given_boxes.h"

namespace {

namespace fs = std::filesystem;

// Removed when the program ends.
class BoxFile {
 public:
  BoxFile() : path_("/dev/shm/opencloc_fuzz_boxes_" + std::to_string(getpid())) {
    opencloc::log::set_level(opencloc::log::Level::kError);
  }
  ~BoxFile() {
    std::error_code ec;
    fs::remove(path_, ec);
  }
  const fs::path& with(std::string_view text) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << text;
    return path_;
  }

 private:
  fs::path path_;
};

void read(std::string_view text) {
  static const BoxFile file;
  opencloc::SkipCounter skips(0);
  opencloc::GivenBoxes boxes({{file.with(text)}, {}, {}}, skips);
  opencloc::LabelSample sample;
  for (const char* key : {"k", "1", "a/1", "000000000007"}) {
    sample.name = sample.record.key = key;
    for (const auto* picture : boxes.find(sample, skips)) {
      for (const auto& box : picture->boxes) {
        if (!box.box.finite() || box.text.empty() || box.source >= boxes.sources().size()) abort();
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return opencloc::fuzz(data, size, [](std::string_view text) { read(text); });
}
