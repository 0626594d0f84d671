#include "opencloc/serve/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace opencloc::serve {
namespace {

using ::testing::HasSubstr;

template <typename Work>
HttpError refused(const Work& work) {
  try {
    work();
  } catch (const Refused& refused) {
    return refused.error;
  }
  ADD_FAILURE() << "not refused";
  return {};
}

TEST(Base64, GoesThereAndBack) {
  // RFC 4648, section 10.
  const std::pair<std::string, std::string> known[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : known) {
    EXPECT_EQ(base64_encoded(bytes), text);
    EXPECT_EQ(base64_decoded(text), bytes);
  }
  EXPECT_EQ(base64_decoded("Zm8"), "fo");
  EXPECT_EQ(base64_decoded("Zm9v\r\nYmFy"), "foobar");
  EXPECT_EQ(base64_decoded("-_-_"), base64_decoded("+/+/"));
  for (const char* wrong : {"Z", "Zg=a", "Zg===", "Z*==", "Zm9vY"}) {
    EXPECT_FALSE(base64_decoded(wrong)) << wrong;
  }
}

TEST(Json, IsAnObjectAndNotDeep) {
  EXPECT_EQ(parse_object(R"({"a": 1})")["a"], 1);
  EXPECT_EQ(refused([] { parse_object("[1]"); }).status, 400);
  EXPECT_EQ(refused([] { parse_object("{"); }).status, 400);
  EXPECT_EQ(refused([] { parse_object(""); }).status, 400);
  std::string deep = "{\"a\":" + std::string(40, '[') + std::string(40, ']') + "}";
  EXPECT_THAT(refused([&] { parse_object(deep); }).message, HasSubstr("32 levels"));
  deep = R"({"a": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["})";
  EXPECT_NO_THROW(parse_object(deep));
}

TEST(Json, ValuesHaveTheirType) {
  const Json json = parse_object(R"({"s": "a", "n": 1.5, "i": 3, "b": true, "z": null})");
  EXPECT_EQ(text_at(json, "s"), "a");
  EXPECT_EQ(text_at(json, "z", "fallback"), "fallback");
  EXPECT_EQ(number_at(json, "n", 0), 1.5);
  EXPECT_EQ(whole_at(json, "i", 0), 3);
  EXPECT_TRUE(flag_at(json, "b", false));
  EXPECT_EQ(refused([&] { text_at(json, "n"); }).param, "n");
  EXPECT_EQ(refused([&] { whole_at(json, "n", 0); }).param, "n");
  EXPECT_EQ(refused([&] { flag_at(json, "i", false); }).param, "i");
  EXPECT_EQ(refused([&] { require_known_keys(json, {"s", "n", "i", "b"}); }).param, "z");
}

TEST(Texts, AreFewAndShort) {
  EXPECT_EQ(texts_of(Json("a"), "t").size(), 1u);
  EXPECT_EQ(texts_of(Json::array({"a", "b"}), "t").size(), 2u);
  EXPECT_EQ(refused([] { texts_of(Json::array({"a", 1}), "t"); }).param, "t[1]");
  EXPECT_EQ(refused([] { texts_of(Json::array({"a", ""}), "t"); }).param, "t[1]");
  EXPECT_EQ(refused([] { texts_of(Json::array(), "t"); }).param, "t");
  EXPECT_EQ(refused([] { texts_of(Json(std::string(9000, 'a')), "t"); }).param, "t");
  Json many = Json::array();
  for (int i = 0; i < 257; ++i) many.push_back("a");
  EXPECT_THAT(refused([&] { texts_of(many, "t"); }).message, HasSubstr("256"));
}

TEST(Pictures, AreBase64AndNeverAddresses) {
  EXPECT_EQ(picture_of("Zm9v", "p"), "foo");
  EXPECT_EQ(picture_of("data:image/png;base64,Zm9v", "p"), "foo");
  for (const char* url : {"http://a/b.jpg", "HTTPS://a", "file:///etc/passwd", "s3://b/k"}) {
    const HttpError error = refused([&] { picture_of(url, "p"); });
    EXPECT_EQ(error.status, 400);
    EXPECT_THAT(error.message, HasSubstr("opens no addresses"));
  }
  for (const char* wrong : {"", "data:image/png,abc", "data:image/png;base64", "%%%"}) {
    EXPECT_EQ(refused([&] { picture_of(wrong, "p"); }).param, "p");
  }
}

Prompt prompt(const char* json) { return prompt_of(parse_json(json, "test"), "p"); }

TEST(Prompts, AreOneOfFour) {
  EXPECT_EQ(std::get<Box>(prompt(R"({"box": [0, 0.25, 0.5, 1]})")), (Box{0, 0.25f, 0.5f, 1}));
  EXPECT_EQ(std::get<Point>(prompt(R"({"point": [0.5, 0.25]})")).y, 0.25f);
  EXPECT_EQ(std::get<std::string>(prompt(R"({"text": "a"})")), "a");
  const Mask mask =
      std::get<Mask>(prompt(R"({"mask": {"width": 3, "height": 2, "rle": [1, 2, 3]}})"));
  EXPECT_FALSE(mask.at(0, 0));
  EXPECT_TRUE(mask.at(1, 0));
  EXPECT_TRUE(mask.at(2, 0));
  EXPECT_FALSE(mask.at(0, 1));
  for (const char* wrong :
       {R"({})", R"([])", R"({"box": [0, 0, 1]})", R"({"box": [0, 0, 1, "1"]})",
        R"({"box": [0, 0, 1, 1], "point": [0, 0]})", R"({"circle": 1})", R"({"text": ""})",
        R"({"mask": {"width": 3, "height": 2, "rle": [1, 2]}})",
        R"({"mask": {"width": 3, "height": 2, "rle": [1, 9]}})",
        R"({"mask": {"width": 3, "height": 2, "rle": [6]}})",
        R"({"mask": {"width": 100000, "height": 100000, "rle": [10000000000]}})",
        R"({"mask": {"width": -1, "height": -1, "rle": [0, 1]}})",
        R"({"box": [0, 0, 1, 1e999]})"}) {
    EXPECT_EQ(refused([&] { prompt(wrong); }).status, 400) << wrong;
  }
}

TEST(Vectors, AreWrittenExactly) {
  const std::vector<float> values = {0.1f, -1, 1e-7f, 0.33333334f};
  const Json back = parse_json(json_of_floats(values), "test");
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(back[i].get<float>(), values[i]);
  EXPECT_EQ(json_of_floats({}), "[]");
  EXPECT_EQ(base64_decoded("AACAPwAAAMA="), bytes_of_floats({1, -2}));
  EXPECT_EQ(json_with(Json::object(), "a", "[1]"), R"({"a":[1]})");
  EXPECT_EQ(json_with({{"b", 2}}, "a", "[1]"), R"({"b":2,"a":[1]})");
}

TEST(Forms, AreCutIntoTheirParts) {
  const std::string body =
      "--X\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nhello\r\n"
      "--X\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\n"
      "Content-Type: image/jpeg\r\n\r\n\x01\r\n--Y\r\n\r\n--X--\r\n";
  const auto parts = parse_form("multipart/form-data; boundary=X", body);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].name, "text");
  EXPECT_EQ(parts[0].body, "hello");
  EXPECT_EQ(parts[1].file, "a.jpg");
  EXPECT_EQ(parts[1].content_type, "image/jpeg");
  EXPECT_EQ(parts[1].body, "\x01\r\n--Y\r\n");
  EXPECT_EQ(parse_form("multipart/form-data; boundary=\"X\"", body).size(), 2u);
  for (size_t cut = 0; cut + 4 < body.size(); ++cut) {
    EXPECT_EQ(refused([&] { parse_form("a; boundary=X", body.substr(0, cut)); }).status, 400);
  }
  EXPECT_EQ(refused([&] { parse_form("multipart/form-data", body); }).status, 400);
  std::string many;
  for (int i = 0; i < 20; ++i) many += "--X\r\nContent-Disposition: a\r\n\r\n\r\n";
  EXPECT_EQ(refused([&] { parse_form("a; boundary=X", many + "--X--"); }).status, 400);
}

TEST(Addresses, AreDecodedOnce) {
  EXPECT_EQ(percent_decoded("a%20b%2525"), "a b%25");
  EXPECT_FALSE(percent_decoded("a%2"));
  EXPECT_FALSE(percent_decoded("%zz"));
  EXPECT_EQ(query_value("a=1&size=256&b", "size"), "256");
  EXPECT_EQ(query_value("a=1&b", "b"), "");
  EXPECT_EQ(query_value("a=x+y", "a"), "x y");
  EXPECT_FALSE(query_value("a=1", "c"));
}

}  // namespace
}  // namespace opencloc::serve
