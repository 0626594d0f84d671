#include "opencloc/base/json_stream.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(PythonJson, NanAndInfinityAreNumbers) {
  const Json json =
      parse_json(R"({"a": NaN, "b": [Infinity, -Infinity, 1e999, -2.5e+400], "NaN": "NaN"})", "t");
  EXPECT_TRUE(std::isnan(json["a"].get<double>()));
  for (const size_t i : {0, 2}) EXPECT_EQ(json["b"][i].get<double>(), HUGE_VAL);
  for (const size_t i : {1, 3}) EXPECT_EQ(json["b"][i].get<double>(), -HUGE_VAL);
  EXPECT_EQ(json["NaN"], "NaN") << "strings stay as they are";
  EXPECT_EQ(dump_json(json["a"]), "null");
}

TEST(PythonJson, NumbersThatStandForThemStayNumbers) {
  const Json json = parse_json("[0e7, 0e8, -0e8, 1e5, 1E-3, 10e7, 0e77]", "t");
  for (const size_t i : {0, 1, 2, 6}) EXPECT_EQ(json[i].get<double>(), 0);
  EXPECT_EQ(json[3], 1e5);
  EXPECT_EQ(json[4], 1e-3);
  EXPECT_EQ(json[5], 10e7);
}

TEST(PythonJson, LoneSurrogatesAreReplaced) {
  const Json json =
      parse_json(R"(["\ud83d", "a\uDC00b", "\ud83d\ude00", "\\ud83d", "\ud83dx"])", "t");
  EXPECT_EQ(json[0], "\xef\xbf\xbd");
  EXPECT_EQ(json[1],
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(json[2], "\xf0\x9f\x98\x80");
  EXPECT_EQ(json[3], "\\ud83d") << "an escaped backslash";
  EXPECT_EQ(json[4], "\xef\xbf\xbdx");
}

TEST(PythonJson, OtherWordsAreStillErrors) {
  for (const char* text : {"nan", "Nan", "[Infinit]", "inf", "undefined", "{'a': 1}", "[1 2]"}) {
    EXPECT_THROW(parse_json(text, "t"), Error) << text;
  }
}

TEST(PythonJson, KeysCanBeLeftOut) {
  EXPECT_EQ(
      parse_json_without(R"({"a": {"big": [1, {"big": 2}]}, "big": 3, "c": [{"big": []}, 4]})", "t",
                         {"big"}),
      Json::parse(R"({"a": {}, "c": [{}, 4]})"));
}

std::vector<std::string> elements_of(const std::string& text) {
  std::vector<std::string> seen;
  for_each_json_element(text, "t", {{"images", "annotations"}, "seg", {"x"}},
                        [&](size_t list, Json&& element) {
                          seen.push_back(std::to_string(list) + dump_json(element));
                        });
  return seen;
}

TEST(JsonElements, ComeOneByOne) {
  EXPECT_THAT(elements_of(R"({"info": {"images": [7]}, "images": [{"id": 1, "x": [1]}, 5, [2]],
                              "other": [[1]], "annotations": [{"a": {"b": [1]}}], "last": 1})"),
              ElementsAre(R"(0{"id":1})", "05", "0[2]", R"(1{"a":{"b":[1]}})"));
  EXPECT_THAT(elements_of(R"({"images": null})"), ElementsAre());
  EXPECT_EQ(for_each_json_element(R"({"b": []})", "t", {{"a", "b"}}, [](size_t, Json&&) {}),
            std::vector<bool>({false, true}));
}

TEST(JsonElements, ARootListIsOneOfTheListsWhereThatIsWanted) {
  std::vector<std::string> seen;
  const auto visit = [&](size_t list, const Json& element) {
    seen.push_back(std::to_string(list) + dump_json(element));
  };
  const JsonLists lists{
      .names = {"images", "annotations"}, .leave_out = {"x"}, .root = "annotations"};
  EXPECT_EQ(for_each_json_element(R"([{"a": [1, {"images": [2]}], "x": 1}, 5, [[3]]])", "t", lists,
                                  visit),
            std::vector<bool>({false, true}));
  EXPECT_THAT(seen, ElementsAre(R"(1{"a":[1,{"images":[2]}]})", "15", "1[[3]]"));
  seen.clear();
  for_each_json_element(R"({"images": [1], "annotations": [2]})", "t", lists, visit);
  EXPECT_THAT(seen, ElementsAre("01", "12"));
  for (const char* text : {"5", "[1", "[1]]", "[] []"})
    EXPECT_THROW(for_each_json_element(text, "t", lists, visit), Error) << text;
}

TEST(JsonElements, PolygonsBecomeTheBoxAroundThem) {
  EXPECT_THAT(elements_of(R"({"images": [{"seg": [[8, 9, 24, 9.5], [4, 30, 5, 6]]}, {"seg": []},
      {"seg": {"counts": [1, 2], "size": [3, 4]}}, {"seg": [1, 2, 3, 4]}, {"seg": [[1, 2, 3]]},
      {"seg": [[[1, 2], [3, 0]]]}, {"seg": [[1, NaN]]}, {"seg": 7, "k": 1}, {"seg": [["1", 2]]}]})"),
              ElementsAre(R"(0{"seg":[4.0,6.0,24.0,30.0]})", R"(0{"seg":null})", R"(0{"seg":null})",
                          R"(0{"seg":[1.0,2.0,3.0,4.0]})", R"(0{"seg":null})",
                          R"(0{"seg":[1.0,0.0,3.0,2.0]})", R"(0{"seg":null})",
                          R"(0{"seg":null,"k":1})", R"(0{"seg":null})"));
}

TEST(JsonElements, WhatIsNoListIsAnError) {
  for (const char* text :
       {"[]", "5", R"({"images": {}})", R"({"images": 5})", R"({"images": [1})"}) {
    EXPECT_THROW(elements_of(text), Error) << text;
  }
}

}  // namespace
}  // namespace opencloc
