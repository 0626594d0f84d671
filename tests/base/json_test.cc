#include "opencloc/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string message_of(std::string_view text) {
  try {
    parse_json(text, "file.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "no error";
}

TEST(Json, KeepsTheOrderOfKeys) {
  const std::string text = R"({"z":1,"a":[2,3.5],"m":{"y":null,"b":"x"}})";
  EXPECT_EQ(dump_json(parse_json(text, "t")), text);
}

TEST(Json, MistakesAreOneLineThatNamesThePlace) {
  for (const char* text : {"", "{", "{\"a\":}", "[1,]", "nul", "{} x", "\"\xff\""}) {
    const std::string message = message_of(text);
    EXPECT_THAT(message, HasSubstr("file.json")) << text;
    EXPECT_THAT(message, Not(HasSubstr("\n"))) << text;
  }
}

TEST(Json, DeepNestingIsRefusedBeforeItIsParsed) {
  EXPECT_THAT(message_of(std::string(1'000'000, '[')), HasSubstr("deeper than 256"));
  EXPECT_EQ(message_of(std::string(200, '[') + std::string(200, ']')), "no error");
  EXPECT_EQ(message_of("\"" + std::string(1000, '[') + "\""), "no error");
}

TEST(Json, BrokenUtf8IsReplacedWhenWritten) {
  EXPECT_EQ(dump_json(Json("a\xff"
                           "b")),
            "\"a\xef\xbf\xbd"
            "b\"");
}

TEST(JsonAccess, GivesValuesFallbacksAndNamedErrors) {
  const Json json = parse_json(R"({"s":"x","n":1.5,"i":7,"f":8.0,"b":true,"null":null})", "t");
  EXPECT_EQ(json_string(json, "s", "t", ""), "x");
  EXPECT_EQ(json_number(json, "n", "t", 0), 1.5);
  EXPECT_EQ(json_int(json, "i", "t", 0), 7);
  EXPECT_EQ(json_int(json, "f", "t", 0), 8);
  EXPECT_TRUE(json_bool(json, "b", "t", false));
  EXPECT_EQ(json_int(json, "none", "t", 5), 5);
  EXPECT_EQ(json_string(json, "null", "t", "y"), "y");
  EXPECT_EQ(json_at(json, "i", "t"), 7);
  EXPECT_THROW(json_at(json, "none", "t"), Error);
  EXPECT_THROW(json_int(json, "n", "t", 0), Error);
  EXPECT_THROW(json_string(json, "i", "t", ""), Error);
  EXPECT_THROW(json_bool(json, "i", "t", false), Error);
  EXPECT_THROW(json_number(Json::array(), "n", "t", 0), Error);
}

}  // namespace
}  // namespace opencloc
