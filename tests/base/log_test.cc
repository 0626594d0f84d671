#include "opencloc/base/log.h"

#include <cctype>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace opencloc {
namespace {

using ::testing::EndsWith;

std::string in_capitals(std::string_view line) {
  std::string capitals(line);
  for (char& c : capitals) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return capitals;
}

std::string logged(const char* text) {
  ::testing::internal::CaptureStderr();
  log::warn("{} {}", text, 1);
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, LinesAreRewrittenWhileSomebodyWantsIt) {
  EXPECT_THAT(logged("a line"), EndsWith("a line 1\n"));
  log::set_rewrite(in_capitals);
  EXPECT_THAT(logged("a line"), EndsWith("A LINE 1\n"));
  log::set_rewrite(nullptr);
  EXPECT_THAT(logged("a line"), EndsWith("a line 1\n"));
}

}  // namespace
}  // namespace opencloc
