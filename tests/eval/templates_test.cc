#include "opencloc/eval/templates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"

namespace opencloc {
namespace {

class TemplatesTest : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& text) {
    write_file(path_, text);
    return path_;
  }
  void TearDown() override { std::filesystem::remove(path_); }

 private:
  std::filesystem::path path_ = std::filesystem::path(::testing::TempDir()) /
                                ("opencloc_templates_" + std::to_string(getpid()));
};

TEST_F(TemplatesTest, OneNameALineWithoutSpacesAround) {
  EXPECT_THAT(read_names(file("  hot dog\r\n\ncat\t\n \ndog")),
              ::testing::ElementsAre("hot dog", "cat", "dog"));
  EXPECT_THAT(read_names(file("\xef\xbb\xbf"
                              "cat\r\ndog\r\n")),
              ElementsAre("cat", "dog"));
  EXPECT_THAT(read_names(file(std::string("\xff\xfe"
                                          "c\0a\0t\0",
                                          8))),
              ElementsAre("cat"));
  EXPECT_THROW(read_names(file("caf\xe9\n")), Error);
  EXPECT_THROW(read_names(file(" \n\n")), Error);
}

TEST_F(TemplatesTest, BuiltInAndFromFile) {
  EXPECT_THAT(load_templates("photo"), ::testing::ElementsAre("a photo of a {}."));
  EXPECT_EQ(load_templates("simple").size(), 7u);
  EXPECT_THAT(load_templates(file("a {}\nthe {}\n")), ::testing::ElementsAre("a {}", "the {}"));
  EXPECT_THROW(load_templates(file("a {}\nno place\n")), Error);
  EXPECT_THROW(load_templates("/no/such/file"), Error);
}

}  // namespace
}  // namespace opencloc
