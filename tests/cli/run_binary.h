// Runs the binary and catches what it says.
#pragma once

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "opencloc/base/files.h"
#include "tests/data/tar_maker.h"

namespace opencloc::fixtures {

struct RunResult {
  int exit_code = -1;
  std::string out;
  std::string err;
};

// `arguments` as in a shell, after "opencloc". Logs' times are not stripped.
inline RunResult run_binary(const std::string& arguments) {
  const TempFolder folder;
  const std::string out = (folder / "out").string(), err = (folder / "err").string();
  const int status = std::system(
      (std::string(OPENCLOC_BINARY) + " " + arguments + " >" + out + " 2>" + err).c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out),
          read_file(err)};
}

// The lines of stderr that are errors.
inline std::string error_line(const RunResult& result) {
  const size_t at = result.err.find("opencloc: error: ");
  return at == std::string::npos ? "" : result.err.substr(at);
}

// At the beginning of a test whose processes exchange numbers by Gloo.
#if defined(__SANITIZE_THREAD__)
#define OPENCLOC_SKIP_WITHOUT_GLOOS_LOCKS()                                             \
  GTEST_SKIP()                                                                          \
      << "the sanitizer does not see how Gloo's threads hand over: dist_test looks at " \
         "that with libtorch's locks in view, train_test trains with threads as processes"
#else
#define OPENCLOC_SKIP_WITHOUT_GLOOS_LOCKS()
#endif

// A folder of the test's own, and what it expects of the binary.
class BinaryTest : public ::testing::Test {
 protected:
  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  // The error of arguments that are refused as wrong input.
  static std::string refused(const std::string& arguments) {
    const auto result = run_binary(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.out << result.err;
    return error_line(result);
  }
  TempFolder folder_;
};

}  // namespace opencloc::fixtures
