#include "opencloc/base/text_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "tests/base/temp_folder.h"

namespace opencloc {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(TextFile, TakesMarksOffAndReadsWideText) {
  EXPECT_EQ(decode_text("\xef\xbb\xbf"
                        "cat"),
            "cat");
  EXPECT_EQ(decode_text("\xff\xfe"
                        "c\0\xe9\0"s),
            "c\xc3\xa9");
  EXPECT_EQ(decode_text("\xfe\xff\0c\0\xe9"s), "c\xc3\xa9");
  EXPECT_EQ(decode_text("\xff\xfe\0\0c\0\0\0"s), "c");
  EXPECT_EQ(decode_text("\xff\xfe\x3d\xd8\x00\xde"s), "\xf0\x9f\x98\x80") << "a surrogate pair";
  EXPECT_EQ(decode_text("c\0a\0t\0\n\0"s), "cat\n") << "no mark";
  EXPECT_EQ(decode_text("\0c\0a\0t\0\n"s), "cat\n");
  EXPECT_EQ(decode_text("c\0a\0f\0\xe9\0\x2a\x73"s), "caf\xc3\xa9\xe7\x8c\xaa")
      << "not ASCII alone";
  EXPECT_EQ(decode_text("cat"), "cat");
  EXPECT_EQ(decode_text(""), "");
}

TEST(TextFile, FindsWhatIsNotUtf8) {
  EXPECT_EQ(find_bad_utf8("a cat, \xc3\xa9t\xc3\xa9 and \xf0\x9f\x98\x80"), std::string::npos);
  EXPECT_EQ(find_bad_utf8("twelve bytes\xe9 here"), 12u);
  EXPECT_EQ(find_bad_utf8("\xc3"), 0u) << "cut";
  EXPECT_EQ(find_bad_utf8("\xc0\x80"), 0u) << "too long";
  EXPECT_EQ(find_bad_utf8("\xed\xa0\x80"), 0u) << "a surrogate";
  EXPECT_EQ(find_bad_utf8("\xf4\x90\x80\x80"), 0u) << "above the last";
  EXPECT_EQ(mark_bad_utf8("caf\xe9\xe8 x"), "caf\xef\xbf\xbf x");
  EXPECT_TRUE(has_bad_mark(mark_bad_utf8("\xff")));
  EXPECT_FALSE(has_bad_mark("\xef\xbf\xbd"));
  try {
    require_utf8("a\nb\xe9", "x.txt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("byte 0xe9 in line 2"));
    EXPECT_THAT(error.what(), HasSubstr("x.txt"));
  }
}

TEST(TextFile, LinesEndInAnyWay) {
  const fixtures::TestFolder folder;
  const auto lines = [&](const std::string& bytes) {
    write_file(folder / "f", bytes);
    return read_text_lines(folder / "f");
  };
  EXPECT_THAT(lines("\xef\xbb\xbf"
                    "a\r\n\nb"),
              ElementsAre("a", "", "b"));
  EXPECT_THAT(lines("a\rb\r"), ElementsAre("a", "b"));
  EXPECT_THAT(lines("a\rb\nc"), ElementsAre("a\rb", "c"));
  EXPECT_THAT(lines(""), ElementsAre());
  EXPECT_THROW(lines("\xe9"), Error);
}

TEST(TextFile, SaysWhatAFileIsThatIsNoText) {
  const fixtures::TestFolder folder;
  const auto error = [&](const std::string& bytes) -> std::string {
    write_file(folder / "f", bytes);
    try {
      read_text(folder / "f");
    } catch (const Error& e) {
      EXPECT_EQ(e.exit_code(), 2);
      return e.what();
    }
    return "none";
  };
  EXPECT_THAT(error("PAR1...."), HasSubstr("Parquet"));
  EXPECT_THAT(error("\x1f\x8b\x08"), HasSubstr("gzip"));
  EXPECT_THAT(error("PK\x03\x04"), HasSubstr("zip"));
  EXPECT_THAT(error("version https://git-lfs.github.com/spec/v1\n"), HasSubstr("git-lfs"));
  EXPECT_EQ(error("PAR"), "none");
}

TEST(TextFile, Trims) {
  EXPECT_EQ(trimmed(" \t a b \r\n"), "a b");
  EXPECT_EQ(trimmed(" \n"), "");
}

TEST(TextFile, NumbersAreReadWholeAsPythonDoes) {
  EXPECT_EQ(parse_number(" 12.5\r\n"), 12.5);
  EXPECT_EQ(parse_number("+9"), 9.0);
  EXPECT_EQ(parse_number("-1e1"), -10.0);
  for (const char* text :
       {"", " ", "+", "+-1", "12px", "0x10", "1,5", "nan", "inf", "1e400", "1 2"})
    EXPECT_EQ(parse_number(text), std::nullopt) << text;
}

}  // namespace
}  // namespace opencloc
