// The importers of data sets (COCO, VOC, YOLO, tables), each a target of its own: the bytes are the
// annotation file beside two pictures that have names alone. Files lie in memory (/dev/shm).
#include <algorithm>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "fuzz/fuzz_target.h"
#include "opencloc/base/log.h"
#include "opencloc/data/import/import.h"

namespace {

namespace fs = std::filesystem;
using opencloc::ImportList;
using opencloc::ImportOptions;
using opencloc::SkipCounter;

// imgs/a.jpg, imgs/b/1.jpg, and what the target writes. Removed when the program ends.
class Folder {
 public:
  Folder() : path_(fs::path("/dev/shm") / ("opencloc_fuzz_" + std::to_string(getpid()))) {
    fs::create_directories(path_ / "imgs/b");
    fs::create_directories(path_ / "xml");
    write("imgs/a.jpg", "");
    write("imgs/b/1.jpg", "");
    opencloc::log::set_level(opencloc::log::Level::kError);
  }
  ~Folder() {
    std::error_code ec;
    fs::remove_all(path_, ec);
  }
  void write(const char* name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary | std::ios::trunc) << text;
  }
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

const Folder& folder() {
  static const Folder made;
  return made;
}

// Every region and caption that came of it is looked at once.
void look_at(ImportList& list, SkipCounter& skips) {
  list.finish(skips);
  for (auto& item : list.items()) {
    for (const auto& region : item.regions) {
      static_cast<void>(opencloc::clip_to_unit(region.region.box));
      static_cast<void>(opencloc::dump_json(region.region.extra));
    }
    static_cast<void>(opencloc::dump_json(item.record.extra));
  }
}

void import_with(opencloc::Importer importer, const fs::path& annotations) {
  ImportOptions options;
  options.images = folder() / "imgs";
  options.annotations = annotations;
  SkipCounter skips(0);
  ImportList list(options.images);
  importer(options, list, skips);
  look_at(list, skips);
}

void read(std::string_view text) {
#if defined(FUZZ_COCO)
  folder().write("ann.json", text);
  import_with(opencloc::import_coco, folder() / "ann.json");
#elif defined(FUZZ_VOC)
  folder().write("xml/a.xml", text);
  import_with(opencloc::import_voc, folder() / "xml");
#elif defined(FUZZ_YOLO)
  // data.yaml, a zero byte, the label file of a.jpg.
  const size_t middle = std::min(text.find('\0'), text.size());
  folder().write("data.yaml", text.substr(0, middle));
  folder().write("imgs/a.txt", text.substr(std::min(middle + 1, text.size())));
  import_with(opencloc::import_yolo, folder() / "data.yaml");
#else
  folder().write("t.csv", text);
  import_with(opencloc::import_csv, folder() / "t.csv");
#endif
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return opencloc::fuzz(data, size, [](std::string_view text) { read(text); });
}
