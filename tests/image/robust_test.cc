// A thousand real, broken and hostile files against what Pillow 9.4 says of them.
#include <chrono>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "opencloc/base/files.h"
#include "opencloc/image/image.h"

namespace opencloc {
namespace {

struct Verdict {
  std::string file;
  bool ok = false;
  std::string format;  // or the kind of error
  std::string size;    // "WxH"
};

std::vector<Verdict> read_manifest(const std::filesystem::path& path) {
  std::istringstream lines(read_file(path));
  std::string line;
  std::getline(lines, line);  // names of the columns
  std::vector<Verdict> verdicts;
  while (std::getline(lines, line)) {
    std::istringstream cells(line);
    Verdict verdict;
    std::string said;
    std::getline(cells, verdict.file, '\t');
    std::getline(cells, said, '\t');
    std::getline(cells, verdict.format, '\t');
    std::getline(cells, verdict.size, '\t');
    verdict.ok = said == "ok";
    verdicts.push_back(verdict);
  }
  return verdicts;
}

struct Count {
  int files = 0, agree = 0;
};

TEST(Robust, AgreesWithPillowOnAThousandFiles) {
  const char* named = std::getenv("OPENCLOC_TEST_DATA");
  const std::filesystem::path shared = named != nullptr ? named : OPENCLOC_SOURCE_DIR "/../shared";
  const std::filesystem::path folder = shared / "data/robust";
  if (!std::filesystem::exists(folder / "manifest.tsv")) {
    GTEST_SKIP() << "no real files in " << folder << " (set OPENCLOC_TEST_DATA)";
  }
  std::map<std::string, Count> counts;
  double slowest = 0;
  for (const Verdict& pillow : read_manifest(folder / "manifest.tsv")) {
    const auto began = std::chrono::steady_clock::now();
    const ImageInfo ours = probe_image(read_file(folder / pillow.file));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    slowest = std::max(slowest, took.count());
    EXPECT_EQ(ours.ok, ours.error.empty()) << pillow.file;
    Count& count = counts[pillow.ok ? pillow.format : ours.format];
    const std::string size = std::to_string(ours.width) + "x" + std::to_string(ours.height);
    const bool agree = ours.ok == pillow.ok && (!ours.ok || size == pillow.size);
    ++count.files;
    count.agree += agree;
    if (!agree) {
      std::cout << "differs: " << pillow.file << ": Pillow " << (pillow.ok ? "ok " : "error ")
                << pillow.format << " " << pillow.size << ", we "
                << (ours.ok ? "ok " + size : ours.error) << "\n";
    }
  }
  Count wanted;
  for (const auto& [format, count] : counts) {
    std::cout << (format.empty() ? "unknown" : format) << ": " << count.agree << " of "
              << count.files << " agree\n";
    if (std::set<std::string>{"JPEG", "PNG", "WEBP"}.count(format)) {
      wanted.files += count.files;
      wanted.agree += count.agree;
    }
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::cout << "slowest file " << slowest << " s, peak memory " << usage.ru_maxrss / 1024
            << " MiB\n";
  EXPECT_GT(wanted.files, 600);
  EXPECT_GE(wanted.agree, 0.98 * wanted.files);
  EXPECT_LT(usage.ru_maxrss / 1024, 2000);
}

}  // namespace
}  // namespace opencloc
