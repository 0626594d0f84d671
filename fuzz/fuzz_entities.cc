// Lists of entities from elsewhere (data entities): the first byte says of which format, the rest
// is its one or two files, with a zero byte between them. What is read is written as a base of
// entities and read again. All lie in memory (/dev/shm).
#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "fuzz/fuzz_target.h"
#include "opencloc/data/entities/entity_base.h"
#include "opencloc/data/entities/make_entities.h"

namespace {

namespace fs = std::filesystem;

struct Format {
  const char* name;
  std::array<const char*, 2> files;
};
constexpr std::array<Format, 5> kFormats = {{{"tsv", {"entities.tsv", "aliases.tsv"}},
                                             {"spacy", {"entities.jsonl", "aliases.jsonl"}},
                                             {"spacy", {"entity_alias.csv", "entity_defs.csv"}},
                                             {"wordnet", {"data.noun", "index.noun"}},
                                             {"wikidata", {"dump.json", nullptr}}}};

// A source and a base, removed when the program ends.
class Folders {
 public:
  Folders() : root_("/dev/shm/opencloc_fuzz_entities_" + std::to_string(getpid())) {}
  ~Folders() {
    std::error_code ec;
    fs::remove_all(root_, ec);
  }
  fs::path base() const { return root_ / "base"; }
  // What make_entities() takes.
  fs::path with(const Format& format, std::string_view text) const {
    fs::remove_all(root_);
    fs::create_directories(root_ / "source");
    const size_t end = text.find('\0');
    const bool two = format.files[1] != nullptr && end != std::string_view::npos;
    write(format.files[0], text.substr(0, two ? end : text.size()));
    if (two) write(format.files[1], text.substr(end + 1));
    return format.files[1] == nullptr ? root_ / "source" / format.files[0] : root_ / "source";
  }

 private:
  void write(const char* name, std::string_view text) const {
    std::ofstream(root_ / "source" / name, std::ios::binary | std::ios::trunc) << text;
  }

  fs::path root_;
};

void read(std::string_view text) {
  if (text.empty()) return;
  static const Folders folders;
  const Format& format = kFormats.at(static_cast<uint8_t>(text[0]) % kFormats.size());
  opencloc::MakeEntitiesOptions options;
  options.format = format.name;
  options.source = folders.with(format, text.substr(1));
  const auto made = opencloc::make_entities(options, folders.base());
  // What was written can be read, and says the same.
  try {
    const opencloc::EntityBase base(folders.base());
    if (base.size() != made.entities) abort();
    for (int64_t row = 0; row < base.size(); ++row) {
      if (base.row_of(base[row].id) != row) abort();
    }
    for (const auto& alias : base.aliases()) {
      if (base.find(alias.text).empty() || !(alias.prior >= 0 && alias.prior <= 1.001F)) abort();
    }
  } catch (const opencloc::Error&) {
    abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return opencloc::fuzz(data, size, [](std::string_view text) { read(text); });
}
