#include "opencloc/cli/whole_program.h"

#include <array>
#include <cerrno>
#include <filesystem>
#include <string>

#include <unistd.h>

#include "opencloc/base/error.h"

namespace opencloc::cli {

void become_whole(char** argv) {
  constexpr std::array kPlaces = {"opencloc-tensors", "../libexec/opencloc/opencloc-tensors"};
  std::error_code unread;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", unread).parent_path();
  std::string tried;
  for (const char* place : kPlaces) {
    const std::string path = (folder / place).lexically_normal().string();
    ::execv(path.c_str(), argv);
    if (errno != ENOENT) {
      throw Error::failed("the program that computes cannot be started (" + errno_text() + ")",
                          path, "install OpenCLOC anew");
    }
    tried += (tried.empty() ? "" : ", ") + path;
  }
  throw Error::failed(
      "opencloc-tensors, the program that computes, is missing", tried,
      "install OpenCLOC anew, or copy both programs, or opencloc-tensors alone, which can do all");
}

}  // namespace opencloc::cli
