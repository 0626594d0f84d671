#include "opencloc/data/scenes/scenes.h"

#include <algorithm>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/data/scenes/caption.h"
#include "opencloc/data/scenes/names.h"
#include "opencloc/data/scenes/picture.h"
#include "opencloc/image/image.h"

namespace opencloc {
namespace {

using testing::AnyOf;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

std::set<std::string> as_set(const std::vector<std::string>& names) {
  return {names.begin(), names.end()};
}

void expect_same(const Record& a, const Record& b) {
  EXPECT_EQ(a.key, b.key);
  EXPECT_EQ(a.image, b.image);
  EXPECT_EQ(a.caption, b.caption);
  EXPECT_EQ(a.alt_text, b.alt_text);
  EXPECT_EQ(a.label, b.label);
  ASSERT_EQ(a.regions.size(), b.regions.size());
  for (size_t i = 0; i < a.regions.size(); ++i) {
    EXPECT_EQ(a.regions[i].box, b.regions[i].box);
    EXPECT_EQ(a.regions[i].text, b.regions[i].text);
    EXPECT_EQ(a.regions[i].extra, b.regions[i].extra);
  }
}

TEST(Scenes, DependOnSeedAndIndexAlone) {
  const SceneGenerator first({.size = 64, .seed = 7});
  const SceneGenerator second({.size = 64, .seed = 7});
  constexpr uint64_t kScenes = 24;
  std::vector<Record> forward(kScenes);
  std::vector<std::thread> threads;  // in another order, on several threads at once
  for (uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = t; i < kScenes; i += 3) forward[i] = second.make(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint64_t i = kScenes; i-- > 0;) expect_same(first.make(i), forward[i]);
  EXPECT_NE(first.make(0).image, first.make(1).image);
  EXPECT_NE(first.make(0).image, SceneGenerator({.size = 64, .seed = 8}).make(0).image);
}

TEST(Scenes, RecordsAreComplete) {
  const SceneGenerator scenes({.size = 96, .max_objects = 8, .seed = 3});
  size_t labels = 0;
  size_t behind = 0;
  size_t largest_scene = 0;
  for (uint64_t i = 0; i < 300; ++i) {
    const Record record = scenes.make(i);
    EXPECT_EQ(record.key.size(), 9U);
    EXPECT_EQ(record.extension, "jpg");
    const Image image = Image::decode(record.image, record.key);
    EXPECT_EQ(image.width, 96);
    EXPECT_EQ(image.height, 96);
    EXPECT_FALSE(record.alt_text.empty());
    ASSERT_FALSE(record.regions.empty());
    std::set<std::string> texts;
    for (const Region& region : record.regions) {
      EXPECT_GE(region.box.x0, 0);
      EXPECT_GE(region.box.y0, 0);
      EXPECT_LE(region.box.x1, 1);
      EXPECT_LE(region.box.y1, 1);
      EXPECT_GT(region.box.area(), 0);
      EXPECT_EQ(region.score, 1);
      EXPECT_EQ(region.source, "scenes");
      EXPECT_EQ(region.extra.at("name"), region.text);
      EXPECT_GT(region.extra.at("visible").get<double>(), 0.4);
      const auto phrase = region.extra.at("phrase").get<std::string>();
      EXPECT_TRUE(phrase.ends_with(region.text)) << phrase;
      EXPECT_THAT(record.caption, HasSubstr(phrase));
      texts.insert(region.text);
    }
    EXPECT_EQ(texts.size(), record.regions.size()) << "a name twice in " << record.caption;
    largest_scene = std::max(largest_scene, record.regions.size());
    behind += record.caption.find(" behind ") != std::string::npos;
    if (record.label) {
      ++labels;
      EXPECT_TRUE(texts.contains(*record.label));
    }
    EXPECT_TRUE(record.label.has_value() || record.regions.size() > 1);
  }
  EXPECT_GE(largest_scene, 6U);
  EXPECT_GT(labels, 30U);
  EXPECT_GT(behind, 0U);
}

TEST(Scenes, HoldOutNames) {
  const SceneGenerator train({});
  const SceneGenerator held_out({.split = SceneSplit::kHeldOut});
  const SceneGenerator all({.split = SceneSplit::kAll});
  EXPECT_GT(train.names().size(), 1000U);
  EXPECT_GE(held_out.names().size(), 100U);
  EXPECT_EQ(as_set(all.names()).size(), all.names().size()) << "a name twice";
  EXPECT_EQ(train.names().size() + held_out.names().size(), all.names().size());
  for (const std::string& name : train.names()) EXPECT_FALSE(is_held_out_name(name)) << name;
  for (const std::string& name : held_out.names()) EXPECT_TRUE(is_held_out_name(name)) << name;
  for (uint64_t i = 0; i < 100; ++i) {
    for (const Region& region : train.make(i).regions) EXPECT_FALSE(is_held_out_name(region.text));
    for (const Region& region : held_out.make(i).regions) {
      EXPECT_TRUE(is_held_out_name(region.text));
      EXPECT_EQ(region.extra.at("held_out"), true);
      EXPECT_NE(region.extra.at("group"), "");
    }
  }
}

// Results on unseen names can be compared between versions only while the list stays.
TEST(Scenes, TheHeldOutListNeverChanges) {
  for (const char* name : {"teapot", "red apple", "unicorn", "hammer", "kiss"}) {
    EXPECT_TRUE(is_held_out_name(name)) << name;
  }
  for (const char* name : {"green apple", "guitar", "fox", "cat", "bicycle"}) {
    EXPECT_FALSE(is_held_out_name(name)) << name;
  }
}

TEST(Scenes, FewerNamesAreTheFirstOnes) {
  const SceneGenerator all({});
  const SceneGenerator few({.size = 64, .names = 20});
  ASSERT_EQ(few.names().size(), 20U);
  EXPECT_TRUE(std::equal(few.names().begin(), few.names().end(), all.names().begin()));
  std::set<std::string> seen;
  for (uint64_t i = 0; i < 200; ++i) {
    for (const Region& region : few.make(i).regions) seen.insert(region.text);
  }
  EXPECT_EQ(seen, as_set(few.names()));
}

// With repeats a name is there more than once, as often as is asked for; without, never.
TEST(Scenes, RepeatsGiveSomethingToCount) {
  const auto share_repeated = [](double repeats) {
    const SceneGenerator scenes(
        {.size = 96, .min_objects = 4, .max_objects = 4, .repeats = repeats, .names = 40});
    int with = 0;
    for (uint64_t i = 0; i < 200; ++i) {
      std::multiset<std::string> seen;
      for (const Region& region : scenes.make(i).regions) seen.insert(region.text);
      with += std::ranges::any_of(seen, [&](const auto& name) { return seen.count(name) > 1; });
    }
    return with / 200.0;
  };
  EXPECT_EQ(share_repeated(0), 0);
  // 1 - 0.7^3 of the scenes, less those where an object found no place.
  EXPECT_NEAR(share_repeated(0.3), 0.657, 0.12);
  EXPECT_GT(share_repeated(1), 0.95);
}

// Even a world of one object, or too small a picture for all of them, gives scenes.
TEST(Scenes, ExtremeOptions) {
  const SceneGenerator one({.size = 32, .min_objects = 8, .max_objects = 8, .names = 1});
  EXPECT_EQ(one.make(0).regions.size(), 1U);
  const SceneGenerator large({.size = 300, .max_objects = 1, .image_format = "png"});
  const Record record = large.make(5);
  EXPECT_EQ(Image::decode(record.image, "scene").width, 300);
  EXPECT_THAT(record.image, StartsWith("\x89PNG"));
}

TEST(Scenes, UnusableOptionsAreErrors) {
  EXPECT_THROW(SceneGenerator({.size = 8}), Error);
  EXPECT_THROW(SceneGenerator({.min_objects = 0}), Error);
  EXPECT_THROW(SceneGenerator({.min_objects = 4, .max_objects = 3}), Error);
  EXPECT_THROW(SceneGenerator({.max_objects = 9}), Error);
  EXPECT_THROW(SceneGenerator({.repeats = 1.5}), Error);
  EXPECT_THROW(SceneGenerator({.names = -1}), Error);
  EXPECT_THROW(SceneGenerator({.image_format = "bmp"}), Error);
  const SceneOptions defaults;
  for (const SceneOptions& options :
       {SceneOptions{.font = "/nowhere/font.ttf"}, SceneOptions{.emoji_list = "/nowhere/emoji.txt"},
        SceneOptions{.font = defaults.emoji_list}, SceneOptions{.emoji_list = defaults.font}}) {
    try {
      const SceneGenerator scenes(options);
      ADD_FAILURE() << "accepted " << options.font << " and " << options.emoji_list;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(),
                  AnyOf(HasSubstr("fonts-noto-color-emoji"), HasSubstr("unicode-data")));
    }
  }
}

class PaintedObjects : public testing::Test {
 protected:
  std::vector<EmojiName> names_ = read_emoji_names(SceneOptions().emoji_list);
  SpriteStore sprites_{SceneOptions().font, names_, 136};
};

TEST_F(PaintedObjects, EveryGlyphIsThereAndDiffers) {
  std::set<std::vector<uint8_t>> pictures;
  for (size_t i = 0; i < names_.size(); ++i) {
    const Sprite& sprite = sprites_.levels(i).front();
    size_t solid = 0;
    for (size_t p = 3; p < sprite.rgba.size(); p += 4) solid += sprite.rgba[p] >= 128;
    EXPECT_GT(solid, 200U) << names_[i].name;
    pictures.insert(sprite.rgba);
  }
  // A few of the font's glyphs are one picture under two names.
  EXPECT_GT(pictures.size() + 12, names_.size());
}

// Boxes and visible shares against the other way to find them: paint numbers back to front and
// look.
TEST_F(PaintedObjects, BoxesAreTightAroundWhatShows) {
  constexpr int kSize = 120;
  const std::vector<bool> can_mirror(names_.size(), true);
  int hidden = 0;
  for (uint64_t scene = 0; scene < 60; ++scene) {
    Rng rng(scene);
    std::vector<SceneObject> objects = lay_out({kSize, 2, 8}, can_mirror, rng);
    Image image(kSize, kSize);
    paint_objects(image, sprites_, objects);

    std::vector<int> owner(kSize * kSize, -1);
    std::vector<int> total(objects.size());
    for (size_t i = 0; i < objects.size(); ++i) {
      const PlacedSprite placed = draw_sprite(sprites_.levels(objects[i].name), objects[i].pose);
      for (int v = 0; v < placed.sprite.height; ++v) {
        for (int u = 0; u < placed.sprite.width; ++u) {
          if (placed.sprite.at(u, v)[3] < 128) continue;
          ++total[i];
          const int x = placed.x + u;
          const int y = placed.y + v;
          if (x >= 0 && y >= 0 && x < kSize && y < kSize) {
            owner[static_cast<size_t>(y * kSize + x)] = static_cast<int>(i);
          }
        }
      }
    }
    for (size_t i = 0; i < objects.size(); ++i) {
      int x0 = kSize, y0 = kSize, x1 = 0, y1 = 0, shown = 0;
      for (int y = 0; y < kSize; ++y) {
        for (int x = 0; x < kSize; ++x) {
          if (owner[static_cast<size_t>(y * kSize + x)] != static_cast<int>(i)) continue;
          ++shown;
          x0 = std::min(x0, x);
          y0 = std::min(y0, y);
          x1 = std::max(x1, x + 1);
          y1 = std::max(y1, y + 1);
        }
      }
      EXPECT_EQ(objects[i].box,
                (Box{static_cast<float>(x0) / kSize, static_cast<float>(y0) / kSize,
                     static_cast<float>(x1) / kSize, static_cast<float>(y1) / kSize}));
      EXPECT_FLOAT_EQ(objects[i].visible, static_cast<float>(shown) / static_cast<float>(total[i]));
      EXPECT_GE(objects[i].visible, 0.45F);
      if (objects[i].hidden_by >= 0) {
        ++hidden;
        EXPECT_GT(objects[i].hidden_by, static_cast<int>(i));
        EXPECT_LT(objects[i].visible, 0.9F);
      }
    }
  }
  EXPECT_GT(hidden, 0);
}

TEST_F(PaintedObjects, TooHiddenObjectsAreNotPainted) {
  SceneObject object;
  object.pose = {.center_x = 50, .center_y = 50, .side = 60};
  std::vector<SceneObject> objects = {object, object};  // exactly one on the other
  Image twice(100, 100);
  paint_objects(twice, sprites_, objects);
  ASSERT_EQ(objects.size(), 1U);
  EXPECT_EQ(objects[0].visible, 1);
  EXPECT_EQ(objects[0].hidden_by, -1);
  Image once(100, 100);
  objects = {object};
  paint_objects(once, sprites_, objects);
  EXPECT_EQ(once.pixels, twice.pixels);

  object.pose.center_x = -100;  // outside the picture
  objects = {object};
  Image none(100, 100);
  paint_objects(none, sprites_, objects);
  EXPECT_THAT(objects, IsEmpty());
  EXPECT_THAT(none.pixels, Each(0));
}

// Mirrored or turned by half a circle, every pixel is found on the other side of the centre.
TEST_F(PaintedObjects, PosesAreGeometry) {
  const SpriteLevels& levels = sprites_.levels(0);
  const auto side = static_cast<float>(levels.front().side());
  const PlacedSprite upright = draw_sprite(levels, {80, 80, side, 0, false});
  const PlacedSprite turned = draw_sprite(levels, {80, 80, side, 3.14159265F, false});
  const PlacedSprite mirrored = draw_sprite(levels, {80, 80, side, 0, true});
  const auto alpha = [](const PlacedSprite& placed, int x, int y) {
    const int u = x - placed.x;
    const int v = y - placed.y;
    const bool outside = u < 0 || v < 0 || u >= placed.sprite.width || v >= placed.sprite.height;
    return outside ? 0 : static_cast<int>(placed.sprite.at(u, v)[3]);
  };
  for (int y = 0; y < 160; ++y) {
    for (int x = 0; x < 160; ++x) {
      EXPECT_NEAR(alpha(upright, x, y), alpha(mirrored, 159 - x, y), 1);
      EXPECT_NEAR(alpha(upright, x, y), alpha(turned, 159 - x, 159 - y), 1);
    }
  }
}

SceneObject object_at(size_t name, Box box, std::vector<std::string_view> attributes = {}) {
  SceneObject object;
  object.name = name;
  object.box = box;
  object.attributes = std::move(attributes);
  return object;
}

TEST(SceneCaption, SaysHowObjectsStand) {
  const std::vector<std::string> names = {"guitar", "apple", "grapes"};
  const SceneObject left = object_at(0, {0.0F, 0.4F, 0.2F, 0.6F}, {"small"});
  const SceneObject right = object_at(1, {0.7F, 0.4F, 0.9F, 0.6F});
  const SceneObject low = object_at(2, {0.4F, 0.8F, 0.6F, 1.0F}, {"tilted", "reddish"});
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Rng rng(seed);
    EXPECT_THAT(
        scene_caption({left, right}, names, "", rng),
        AnyOf("a small guitar to the left of an apple", "a small guitar left of an apple",
              "an apple to the right of a small guitar", "an apple right of a small guitar"));
    EXPECT_THAT(scene_caption({right}, names, "a red background", rng),
                AnyOf("an apple on a red background", "an apple on the right on a red background"));
    const std::string three = scene_caption({left, right, low}, names, "", rng);
    EXPECT_THAT(three, HasSubstr("some tilted reddish grapes"));
    EXPECT_THAT(three, HasSubstr("a small guitar"));
    EXPECT_THAT(three, HasSubstr("an apple"));
    EXPECT_THAT(three, Not(HasSubstr("grapes above")));
    SceneObject hidden = left;
    hidden.hidden_by = 1;
    EXPECT_THAT(scene_caption({hidden, right}, names, "", rng),
                AnyOf("a small guitar behind an apple", "an apple in front of a small guitar"));
  }
}

TEST(SceneCaption, Articles) {
  EXPECT_EQ(with_article("apple", "apple"), "an apple");
  EXPECT_EQ(with_article("large apple", "apple"), "a large apple");
  EXPECT_EQ(with_article("unicorn", "unicorn"), "a unicorn");
  EXPECT_EQ(with_article("hourglass done", "hourglass done"), "an hourglass done");
  EXPECT_EQ(with_article("small grapes", "grapes"), "some small grapes");
  EXPECT_EQ(with_article("bus", "bus"), "a bus");
  EXPECT_EQ(with_article("face with tears of joy", "face with tears of joy"),
            "a face with tears of joy");
}

TEST(SceneCaption, Places) {
  EXPECT_EQ(place_words(0.1F, 0.1F), "in the top left");
  EXPECT_EQ(place_words(0.5F, 0.5F), "in the middle");
  EXPECT_EQ(place_words(0.9F, 0.5F), "on the right");
  EXPECT_EQ(place_words(0.5F, 0.9F), "at the bottom");
}

}  // namespace
}  // namespace opencloc
