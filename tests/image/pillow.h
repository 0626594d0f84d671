// Pillow as the reference, where this machine has it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "opencloc/base/files.h"

namespace opencloc {

// A folder of the test's own, removed at the end.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "opencloc-image-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  std::string string() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

// A Python that has Pillow and numpy; "" without.
inline const std::string& pillow_python() {
  static const std::string found = [] {
    for (const char* python : {"/usr/bin/python3", "python3"}) {
      const std::string check = std::string(python) + " -c 'import PIL.Image, numpy' 2>/dev/null";
      if (std::system(check.c_str()) == 0) return std::string(python);
    }
    return std::string();
  }();
  return found;
}

// Runs a script with the folder as its working directory; fails the test when Python does.
inline void run_python(const ScratchFolder& folder, const std::string& script) {
  write_file(folder / "script.py", script);
  const std::string command = "cd " + folder.string() + " && " + pillow_python() + " script.py";
  ASSERT_EQ(std::system(command.c_str()), 0) << script;
}

}  // namespace opencloc

#define OPENCLOC_NEEDS_PILLOW() \
  if (pillow_python().empty()) GTEST_SKIP() << "no Python with Pillow and numpy to compare with"
