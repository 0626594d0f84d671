// Scenes that ask for more than a name: repeated names and the phrases that tell them apart,
// context, second names, tiny objects, held-out forms, wrong texts; mosaics with free cuts.
#include <algorithm>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/crc32c.h"
#include "opencloc/base/error.h"
#include "opencloc/data/scenes/names.h"
#include "opencloc/data/scenes/phrases.h"
#include "opencloc/data/scenes/scenes.h"
#include "opencloc/image/augment.h"
#include "opencloc/image/image.h"

namespace opencloc {
namespace {

using testing::HasSubstr;

constexpr uint64_t kWorldScenes = 150;
constexpr uint32_t kDefaultWorld = 2044680114;

std::string name_of(const Region& region) { return region.extra.at("name").get<std::string>(); }
std::string phrase_of(const Region& region) { return region.extra.at("phrase").get<std::string>(); }

// Other worlds' random numbers must not reach the default one.
TEST(Worlds, TheDefaultOneNeverChanges) {
  const SceneGenerator scenes({.size = 96, .seed = 1, .names = 40});
  std::string texts;
  for (uint64_t i = 0; i < 20; ++i) {
    const Record record = scenes.make(i);
    texts += record.caption + '\n' + record.alt_text + '\n';
    for (const Region& region : record.regions) {
      EXPECT_FALSE(region.extra.contains("negatives"));
      for (const float side : {region.box.x0, region.box.y0, region.box.x1, region.box.y1})
        texts += std::to_string(static_cast<int>(std::lround(96 * side))) + ' ';
      texts += region.text + '\n' + region.extra.dump() + '\n';
    }
  }
  EXPECT_EQ(crc32c(texts), kDefaultWorld) << "scenes of one seed are no longer those of before";
}

TEST(Worlds, OfRepeatedNamesTellThemApart) {
  const SceneGenerator scenes(
      {.size = 96, .min_objects = 4, .max_objects = 4, .repeat_names = 0.4, .names = 40});
  int repeated = 0, referred = 0;
  std::set<std::string> kinds;
  for (uint64_t i = 0; i < kWorldScenes; ++i) {
    const Record record = scenes.make(i);
    std::multiset<std::string> names, texts;
    for (const Region& region : record.regions) {
      names.insert(name_of(region));
      texts.insert(region.text);
    }
    for (const Region& region : record.regions) {
      const std::string name = name_of(region);
      EXPECT_THAT(region.text, HasSubstr(name));
      if (names.count(name) == 1) {
        EXPECT_EQ(region.text, name);
        continue;
      }
      ++repeated;
      if (region.text == name) continue;  // nothing tells it apart
      ++referred;
      EXPECT_EQ(texts.count(region.text), 1u) << region.text;
      EXPECT_THAT(phrase_of(region), HasSubstr(region.text.substr(region.text.find(name))));
      for (const char* kind : {" below the ", " left of the ", " in the "})
        if (region.text.find(kind) != std::string::npos) kinds.insert(kind);
      if (region.text.ends_with(name)) kinds.insert("attributes");
    }
  }
  EXPECT_GT(repeated, 150);
  EXPECT_GT(referred, 0.8 * repeated);
  EXPECT_EQ(kinds.size(), 4u);
}

SceneObject object_at(size_t name, float x, float y,
                      std::vector<std::string_view> attributes = {}) {
  SceneObject object;
  object.name = name;
  object.box = {x - 0.1F, y - 0.1F, x + 0.1F, y + 0.1F};
  object.attributes = std::move(attributes);
  return object;
}

// Two foxes and an apple between them: each fox by its place or its side of the apple.
TEST(Worlds, ReferringPhrasesAreTrueOfOneObject) {
  const std::vector<std::string> names = {"fox", "apple"};
  std::vector<SceneObject> objects = {object_at(0, 0.2F, 0.5F), object_at(0, 0.8F, 0.5F),
                                      object_at(1, 0.5F, 0.5F)};
  const auto all_of = [&](size_t i) {
    std::set<std::string> found;
    for (uint64_t seed = 0; seed < 30; ++seed) {
      Rng rng(seed, {0});
      if (const auto text = referring_phrase({objects, names}, i, rng)) found.insert(text->phrase);
    }
    return found;
  };
  EXPECT_EQ(all_of(0), (std::set<std::string>{"fox left of the apple", "fox on the left"}));
  EXPECT_EQ(all_of(1), (std::set<std::string>{"fox right of the apple", "fox on the right"}));
  objects[0].attributes = {"large", "reddish"};
  EXPECT_EQ(all_of(0),
            (std::set<std::string>{"large reddish fox", "large reddish fox left of the apple",
                                   "large reddish fox on the left"}));
  objects[1].attributes = {"large"};  // true of the other one, too
  EXPECT_EQ(all_of(1).count("large fox"), 0u);
  objects.pop_back();
  objects[1].box = objects[0].box;
  EXPECT_TRUE(all_of(1).empty());
  EXPECT_EQ(neighbour_phrase({objects, names}, 0), std::nullopt);
}

TEST(Worlds, OfContextNameWhatStandsBeside) {
  const SceneGenerator scenes(
      {.size = 96, .min_objects = 2, .max_objects = 4, .context = 1, .names = 40});
  const SceneGenerator plain({.size = 96, .min_objects = 2, .max_objects = 4, .names = 40});
  for (uint64_t i = 0; i < 50; ++i) {
    const Record record = scenes.make(i), same = plain.make(i);
    EXPECT_EQ(record.image, same.image) << "only texts differ";
    EXPECT_EQ(record.caption, same.caption);
    if (record.regions.size() < 2) continue;
    for (const Region& region : record.regions) {
      EXPECT_TRUE(region.text.starts_with(name_of(region) + ' ')) << region.text;
      EXPECT_TRUE(std::ranges::any_of(record.regions, [&](const Region& other) {
        return name_of(other) != name_of(region) && region.text.ends_with(" the " + name_of(other));
      })) << region.text;
    }
  }
}

TEST(Worlds, SecondNamesAreFixedAndDistinct) {
  const SceneGenerator all({.size = 96, .split = SceneSplit::kAll});
  std::set<std::string> words(all.names().begin(), all.names().end());
  for (const std::string& name : all.names()) words.insert(second_name(name));
  EXPECT_EQ(words.size(), 2 * all.names().size());
  EXPECT_EQ(second_name("fox"), second_name("fox"));

  const SceneGenerator scenes({.size = 96, .synonyms = 0.3, .names = 40});
  int second = 0, regions = 0;
  for (uint64_t i = 0; i < kWorldScenes; ++i) {
    const Record record = scenes.make(i);
    for (const Region& region : record.regions) {
      ++regions;
      const bool is_second = region.text == second_name(name_of(region));
      second += is_second;
      EXPECT_EQ(region.text, is_second ? second_name(name_of(region)) : name_of(region));
      EXPECT_THAT(record.caption, HasSubstr(region.text));
    }
  }
  EXPECT_NEAR(static_cast<double>(second) / regions, 0.3, 0.08);
}

TEST(Worlds, TinyObjectsAreBelowAPatch) {
  const SceneGenerator scenes({.size = 96, .tiny = 0.5, .names = 40});
  int tiny = 0, regions = 0;
  for (uint64_t i = 0; i < kWorldScenes; ++i) {
    for (const Region& region : scenes.make(i).regions) {
      ++regions;
      if (phrase_of(region).find("tiny") == std::string::npos) continue;
      ++tiny;
      EXPECT_LT(std::max(region.box.width(), region.box.height()), 16.0F / 96);
    }
  }
  EXPECT_NEAR(static_cast<double>(tiny) / regions, 0.5, 0.1);
}

// Train and held-out forms of a name are different pictures of it, each the same in every world.
TEST(Worlds, FormsAreHeldOut) {
  const auto pictures = [](SceneVariants variants) {
    const SceneGenerator scenes(
        {.size = 96, .max_objects = 1, .variants = variants, .names = 5, .image_format = "png"});
    std::vector<std::string> images;
    for (uint64_t i = 0; i < 20; ++i) {
      const Record record = scenes.make(i);
      EXPECT_EQ(record.image, scenes.make(i).image);
      images.push_back(record.image);
      const Box& box = record.regions.at(0).box;
      EXPECT_GT(box.area(), 0);
    }
    return images;
  };
  const auto plain = pictures(SceneVariants::kNone), train = pictures(SceneVariants::kTrain),
             held_out = pictures(SceneVariants::kHeldOut);
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_NE(plain[i], train[i]);
    EXPECT_NE(train[i], held_out[i]);
  }
}

TEST(Worlds, WrongTextsAreWrongInOneThing) {
  const SceneGenerator scenes({.size = 96, .tiny = 0.1, .negatives = 4, .names = 40});
  std::set<std::string> names(scenes.names().begin(), scenes.names().end());
  for (uint64_t i = 0; i < 60; ++i) {
    const Record record = scenes.make(i);
    for (const Region& region : record.regions) {
      const auto negatives = region.extra.at("negatives").get<std::vector<std::string>>();
      EXPECT_GE(negatives.size(), 3u);
      EXPECT_EQ(std::set(negatives.begin(), negatives.end()).size(), negatives.size());
      int other_name = 0;
      for (const std::string& negative : negatives) {
        EXPECT_NE(negative, phrase_of(region));
        const bool own = negative.ends_with(name_of(region));
        if (!own) ++other_name;
        for (const Region& other : record.regions) EXPECT_NE(negative, phrase_of(other));
      }
      EXPECT_LE(other_name, 1);
    }
  }
  const SceneGenerator two({.size = 96, .negatives = 2, .names = 40});
  EXPECT_EQ(two.make(0).regions.at(0).extra.at("negatives").size(), 2u);
}

TEST(Worlds, UnusableOptionsAreErrors) {
  EXPECT_THROW(SceneGenerator({.repeats = 0.2, .repeat_names = 0.2}), Error);
  EXPECT_THROW(SceneGenerator({.context = -0.1}), Error);
  EXPECT_THROW(SceneGenerator({.synonyms = 2}), Error);
  EXPECT_THROW(SceneGenerator({.tiny = 2}), Error);
  EXPECT_THROW(SceneGenerator({.negatives = 5}), Error);
}

TEST(FreeCuts, FillTheCanvasWithTilesOfEverySize) {
  const CanvasOptions canvas{.width = 96, .height = 96};
  std::set<int> widths, heights;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    for (const int grid : {1, 2, 3}) {
      Rng rng(seed, {0});
      const MosaicCuts cuts = free_cuts(grid, canvas, 0.3, rng);
      ASSERT_EQ(cuts.rows.size(), static_cast<size_t>(grid) + 1);
      ASSERT_EQ(cuts.columns.size(), static_cast<size_t>(grid));
      const auto check = [&](const std::vector<int>& at, std::set<int>& sides) {
        EXPECT_EQ(at.front(), 0);
        EXPECT_EQ(at.back(), 96);
        for (size_t i = 1; i < at.size(); ++i) {
          EXPECT_GE(at[i] - at[i - 1], 0.3 * 96 / grid - 1);
          sides.insert(at[i] - at[i - 1]);
        }
      };
      check(cuts.rows, heights);
      for (const auto& row : cuts.columns) check(row, widths);
    }
  }
  EXPECT_GT(widths.size(), 40u);
  EXPECT_GT(heights.size(), 40u);
  Rng rng(1, {0});
  const MosaicCuts even = free_cuts(3, canvas, 1, rng), wanted = even_cuts(3, canvas);
  EXPECT_EQ(even.rows, wanted.rows);
  EXPECT_EQ(even.columns, wanted.columns);
}

}  // namespace
}  // namespace opencloc
