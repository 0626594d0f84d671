// The catalog of an index, an SQLite file: what it holds is asked for as a search, a server and the
// verbs of `index` ask. SQLite itself is not instrumented; what is looked for is a reader of ours
// that trusts what a damaged or hostile file says.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "fuzz/fuzz_target.h"
#include "opencloc/index/catalog.h"

namespace opencloc {
namespace {

// A file in memory, for SQLite opens by name; what it makes beside it goes again, too.
std::string file_of(std::string_view bytes) {
  static const std::string path = "/dev/shm/fuzz_catalog." + std::to_string(getpid());
  for (const char* more : {"-wal", "-shm", "-journal"}) std::remove((path + more).c_str());
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || write(file, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
    std::abort();
  close(file);
  return path;
}

void use(std::string_view bytes) {
  Catalog catalog(file_of(bytes), Catalog::Mode::kRead);
  // One damaged table does not keep the others from being read.
  const auto answered = [](const auto& ask) {
    try {
      ask();
    } catch (const Error&) {
    }
  };
  std::vector<int64_t> ids{1, 2, 3, -1, INT64_MAX};
  answered([&] {
    for (const auto& picture : catalog.pictures_after(0, 8)) ids.push_back(picture.id);
  });
  answered([&] { catalog.state(); });
  answered([&] { catalog.cuts(); });
  answered([&] { catalog.counts(); });
  answered([&] { catalog.pictures(ids); });
  answered([&] {
    for (const auto& digest : catalog.digests()) catalog.picture_of_digest(digest);
  });
  answered([&] {
    for (const auto& name : catalog.names()) catalog.find_name(name.name);
  });
  answered([&] { catalog.next_picture(); });
  answered([&] { catalog.next_segment(); });
  answered([&] { catalog.check(); });
}

}  // namespace
}  // namespace opencloc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return opencloc::fuzz(data, size, [](std::string_view text) { opencloc::use(text); });
}
