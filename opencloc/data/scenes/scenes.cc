#include "opencloc/data/scenes/scenes.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/rng.h"
#include "opencloc/data/scenes/alias_text.h"
#include "opencloc/data/scenes/background.h"
#include "opencloc/data/scenes/caption.h"
#include "opencloc/data/scenes/layout.h"
#include "opencloc/data/scenes/names.h"
#include "opencloc/data/scenes/picture.h"
#include "opencloc/data/scenes/sprite.h"
#include "opencloc/image/encode.h"

namespace opencloc {
namespace {

constexpr uint64_t kAliasStream = 1;     // of a scene's random numbers
constexpr float kLabelDominance = 1.8F;  // the main object is this much larger than the next

void check(const SceneOptions& options) {
  const auto require = [](bool good, const char* what, const char* mend) {
    if (!good) throw Error::input(what, "scenes", mend);
  };
  require(options.size >= 32 && options.size <= 1024, "the size is out of range",
          "give 32 to 1024 pixels");
  require(options.min_objects >= 1 && options.max_objects <= 8 &&
              options.min_objects <= options.max_objects,
          "the number of objects is out of range", "give 1 <= least <= most <= 8");
  require(options.repeats >= 0 && options.repeats <= 1, "repeats is not a chance",
          "give a number from 0 to 1");
  require(options.names >= 0, "the number of names is negative", "give 0 for all of them");
  require(options.image_format == "jpg" || options.image_format == "png", "unknown picture format",
          "give jpg or png");
}

std::vector<EmojiName> names_in_use(const SceneOptions& options) {
  std::vector<EmojiName> names = read_emoji_names(options.emoji_list);
  std::erase_if(names, [&](const EmojiName& emoji) {
    return options.split != SceneSplit::kAll &&
           emoji.held_out != (options.split == SceneSplit::kHeldOut);
  });
  return names;
}

}  // namespace

struct SceneGenerator::Impl {
  SceneOptions options;
  std::vector<EmojiName> emoji;
  std::vector<std::string> names;
  std::vector<bool> can_mirror;
  SpriteStore sprites;
  std::optional<AliasTexts> alias_texts;

  explicit Impl(SceneOptions asked)
      : options(std::move(asked)),
        emoji(names_in_use(options)),
        sprites(options.font, emoji,
                static_cast<int>(std::ceil(kLargestObject * static_cast<float>(options.size)))) {
    if (options.names > 0 && emoji.size() > static_cast<size_t>(options.names)) {
      emoji.resize(static_cast<size_t>(options.names));
    }
    if (emoji.empty()) {
      throw Error::input("the font has none of the named emoji", options.font.string(),
                         "use NotoColorEmoji.ttf of the package fonts-noto-color-emoji");
    }
    for (const EmojiName& one : emoji) {
      names.push_back(one.name);
      can_mirror.push_back(one.group != "Symbols");
    }
    if (!options.entities.empty()) alias_texts.emplace(options.entities, emoji);
  }

  // The objects of a scene, at least one, on its background.
  std::vector<SceneObject> paint(Image& image, Rng& rng) const {
    const LayoutOptions layout = {options.size, options.min_objects, options.max_objects,
                                  options.repeats};
    constexpr int kTries = 100;  // one is enough but for glyphs with hardly a solid pixel
    for (int attempt = 0; attempt < kTries; ++attempt) {
      std::vector<SceneObject> objects = lay_out(layout, can_mirror, rng);
      paint_objects(image, sprites, objects);
      if (!objects.empty()) return objects;
    }
    throw Error::failed("no object of a scene can be seen", options.font.string(),
                        "use NotoColorEmoji.ttf of the package fonts-noto-color-emoji");
  }

  Region region_of(const SceneObject& object) const {
    Region region;
    region.box = object.box;
    region.text = names[object.name];
    region.source = "scenes";
    region.extra["phrase"] = object_phrase(object, region.text);
    region.extra["name"] = region.text;
    region.extra["group"] = emoji[object.name].group;
    region.extra["held_out"] = emoji[object.name].held_out;
    region.extra["visible"] = std::round(100 * object.visible) / 100;
    return region;
  }

  // The name of the object that the picture is of: the only one, or by far the largest.
  std::optional<std::string> label_of(std::vector<SceneObject> objects) const {
    std::ranges::sort(objects, std::ranges::greater(),
                      [](const SceneObject& object) { return object.box.area(); });
    if (objects.size() > 1 && objects[0].box.area() < kLabelDominance * objects[1].box.area()) {
      return std::nullopt;
    }
    return names[objects[0].name];
  }
};

SceneGenerator::SceneGenerator(SceneOptions options) {
  check(options);
  impl_ = std::make_unique<const Impl>(std::move(options));
}

SceneGenerator::~SceneGenerator() = default;

const std::vector<std::string>& SceneGenerator::names() const { return impl_->names; }

Record SceneGenerator::make(uint64_t index) const {
  const SceneOptions& options = impl_->options;
  Rng rng(options.seed, {index});
  Background background = draw_background(options.size, rng);
  const std::vector<SceneObject> objects = impl_->paint(background.image, rng);
  const auto brightness = static_cast<float>(rng.uniform(0.75, 1.12));
  const auto grain = static_cast<float>(rng.uniform(0, 6));
  expose(background.image, brightness, grain, rng);

  Record record;
  record.key = fmt::format("{:09}", index);
  record.extension = options.image_format;
  // Crowded captions are long enough without.
  const bool say_background = rng.chance(objects.size() <= 2 ? 0.5 : 0.15);
  record.caption = scene_caption(objects, impl_->names,
                                 say_background ? std::string_view(background.phrase) : "", rng);
  record.alt_text = scene_alt_text(objects, impl_->names, rng);
  if (impl_->alias_texts) {  // by numbers of their own: the rest of the scene stays as it is
    Rng own(options.seed, {index, kAliasStream});
    auto written = impl_->alias_texts->write(objects, own);
    record.alt_text = std::move(written.text);
    record.extra["mentions"] = std::move(written.mentions);
  }
  for (const SceneObject& object : objects) record.regions.push_back(impl_->region_of(object));
  record.label = impl_->label_of(objects);
  record.image = options.image_format == "png"
                     ? encode_png(background.image)
                     : encode_jpeg(background.image, 80 + static_cast<int>(rng.below(16)));
  return record;
}

}  // namespace opencloc
