#include "opencloc/index/filter.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/index/search.h"
#include "small_index.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

using fixtures::error_of;
using fixtures::made_up_vector;
using fixtures::SmallIndex;
using ::testing::HasSubstr;

PictureEntry entry() {
  PictureEntry entry;
  entry.picture = {
      .id = 7, .digest = {}, .width = 640, .height = 480, .rows = 3, .caption = "A Red car"};
  entry.names = {{.name = "/home/a.jpg"}, {.name = "/backup/A.jpg"}};
  entry.texts = {{1, "wheel"}, {2, "it's \"new\""}};
  return entry;
}

TEST(PictureFilter, MeansWhatItSays) {
  const std::pair<const char*, bool> cases[] = {
      {"width >= 512", true},
      {"width>640", false},
      {"height = 480 and width < 700", true},
      {"height != 480 or regions = 2", true},
      {"id <= 6", false},
      {"width = 640.5", false},
      {"caption ~ \"red\"", true},
      {"caption ~ 'RED CAR'", true},
      {"caption = \"A Red car\"", true},
      {"caption = \"a red car\"", false},
      {"caption !~ 'bus'", true},
      {"name ~ \"/backup/\"", true},
      {"name = '/home/a.jpg'", true},
      {"name != '/home/a.jpg'", false},
      {"text = 'wheel'", true},
      {"text ~ '\"new\"'", true},
      {"text = 'door'", false},
      {"not text = 'door'", true},
      {"not not width = 640", true},
      {"width = 1 and width = 2 or width = 640", true},
      {"width = 640 or width = 1 and width = 2", true},
      {"(width = 640 or width = 1) and width = 2", false},
      {"  ( caption ~ 'red' )  ", true},
      {"caption ~ ''", true},
  };
  for (const auto& [text, wanted] : cases)
    EXPECT_EQ(PictureFilter(text).holds(entry()), wanted) << text;
}

TEST(PictureFilter, SaysWhereItMakesNoSense) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "a field is expected"},
      {"size > 3", "'size > 3': a field is expected"},
      {"width ~ 3", "one of = != < <= > >="},
      {"caption > 'x'", "one of = != ~ !~"},
      {"width > many", "'many': a number is expected"},
      {"caption ~ car", "'car': a text in quotes"},
      {"caption ~ 'car", "no closing quote"},
      {"(width = 3", "its end: ')' is expected"},
      {"width = 3 height = 4", "'height = 4': 'and', 'or' or the end"},
      {"width = 3 and", "a field is expected"},
  };
  for (const auto& [text, wanted] : cases) {
    const std::string condition = text;  // clang 14 captures no structured bindings
    EXPECT_THAT(error_of([&] { PictureFilter{condition}; }), HasSubstr(wanted)) << condition;
  }
  EXPECT_THAT(error_of([] { PictureFilter(std::string(100'000, '(')); }), HasSubstr("too much"));
}

TEST(FilteredSearch, GivesKOfThePicturesThatAreMeant) {
  const SmallIndex small;
  small.add(0, 400);
  IndexReader index(small.path());
  const auto query = made_up_vector(77);
  // Every second picture has a caption; those with 3 regions are every fourth.
  const auto meant = filtered_pictures(
      index.catalog(), PictureFilter("regions = 3 and not caption ~ 'caption' and id > 20"));
  ASSERT_EQ(meant.size(), 95u);
  SearchOptions options{.k = 90, .fold = false};
  options.only = meant;
  const auto some = search(index, {&query, 1}, options).front();
  ASSERT_EQ(some.hits.size(), 90u);
  options.only.reset();
  options.k = 400;
  const auto all = search(index, {&query, 1}, options).front();
  std::vector<int64_t> wanted, found;
  const std::set<int64_t> members(meant.begin(), meant.end());
  for (const Hit& hit : all.hits) {
    if (members.contains(hit.picture) && wanted.size() < 90) wanted.push_back(hit.picture);
  }
  for (const Hit& hit : some.hits) found.push_back(hit.picture);
  EXPECT_EQ(found, wanted) << "the same order as without the filter";
  EXPECT_EQ(some.median, all.median);

  options.only.emplace();  // none is meant
  EXPECT_TRUE(search(index, {&query, 1}, options).front().hits.empty());
  options.only = std::vector<int64_t>{400, 500};  // the last one, and none
  options.unit = SearchUnit::kPicture;
  const auto one = search(index, {&query, 1}, options).front();
  ASSERT_EQ(one.hits.size(), 1u);
  EXPECT_EQ(one.hits[0].picture, 400);
}

TEST(FilteredPictures, GoOverAllOfACatalog) {
  const SmallIndex small;
  {
    IndexWriter writer(small.path());
    for (int i = 0; i < 12'000; ++i) {
      NewPicture picture = fixtures::made_up_picture(4);
      picture.regions.clear();
      picture.width = i;
      picture.name.name = "p" + std::to_string(i);
      picture.digest = picture.name.name;
      writer.add(picture);
    }
    writer.commit();
  }
  IndexReader index(small.path());
  EXPECT_EQ(filtered_pictures(index.catalog(), PictureFilter("width >= 4000")).size(), 8000u);
  EXPECT_EQ(filtered_pictures(index.catalog(), PictureFilter("name ~ '99'")).size(), 318u);
}

}  // namespace
}  // namespace opencloc
