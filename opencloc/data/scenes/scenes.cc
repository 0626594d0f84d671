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
#include "opencloc/data/scenes/phrases.h"
#include "opencloc/data/scenes/picture.h"
#include "opencloc/data/scenes/sprite.h"
#include "opencloc/image/encode.h"

namespace opencloc {
namespace {

constexpr uint64_t kAliasStream = 1;  // of a scene's random numbers
constexpr uint64_t kSynonymStream = 2;
constexpr uint64_t kPhraseStream = 3;
constexpr uint64_t kFormStream = 4;  // of a name and its form
constexpr int kForms = 8, kTrainForms = 6;
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
  const auto is_chance = [](double value) { return value >= 0 && value <= 1; };
  require(is_chance(options.repeat_names) && is_chance(options.context) &&
              is_chance(options.synonyms) && is_chance(options.tiny),
          "repeat_names, context, synonyms or tiny is not a chance", "give a number from 0 to 1");
  require(options.repeats == 0 || options.repeat_names == 0, "names are repeated in two ways",
          "leave repeats or repeat_names out");
  require(options.negatives >= 0 && options.negatives <= 4,
          "the number of negatives is out of range", "give 0 to 4");
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
  std::vector<std::string> said_names;  // the names, and behind them their second names
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
    said_names = names;
    for (const std::string& name : names) said_names.push_back(second_name(name));
    if (!options.entities.empty()) alias_texts.emplace(options.entities, emoji);
  }

  // The objects of a scene, at least one, on its background.
  std::vector<SceneObject> paint(Image& image, Rng& rng) const {
    LayoutOptions layout = {.size = options.size,
                            .min_objects = options.min_objects,
                            .max_objects = options.max_objects,
                            .repeats = std::max(options.repeats, options.repeat_names),
                            .tiny = options.tiny};
    if (options.variants != SceneVariants::kNone) {
      const bool train = options.variants == SceneVariants::kTrain;
      layout.first_form = train ? 0 : kTrainForms;
      layout.last_form = train ? kTrainForms : kForms;
    }
    constexpr int kTries = 100;  // one is enough but for glyphs with hardly a solid pixel
    for (int attempt = 0; attempt < kTries; ++attempt) {
      std::vector<SceneObject> objects = lay_out(layout, can_mirror, rng);
      for (SceneObject& object : objects)
        if (object.form >= 0) give_form(object);
      paint_objects(image, sprites, objects);
      if (!objects.empty()) return objects;
    }
    throw Error::failed("no object of a scene can be seen", options.font.string(),
                        "use NotoColorEmoji.ttf of the package fonts-noto-color-emoji");
  }

  // The same for a name and its form, whatever the seed and the other names.
  void give_form(SceneObject& object) const {
    uint64_t letters = 0;
    for (const char c : names[object.name]) letters = mix64(letters ^ static_cast<uint8_t>(c));
    Rng rng(letters, {static_cast<uint64_t>(object.form), kFormStream});
    object.pose.stretch = static_cast<float>(std::exp(rng.uniform(-0.3, 0.3)));
    object.pose.slant = static_cast<float>(rng.uniform(-0.35, 0.35));
    object.hue = static_cast<float>(rng.uniform(-0.9, 0.9));
  }

  // The objects as they are called: some by their second names.
  std::vector<SceneObject> as_said(std::vector<SceneObject> objects, uint64_t index) const {
    if (options.synonyms == 0) return objects;
    Rng rng(options.seed, {index, kSynonymStream});
    for (SceneObject& object : objects)
      if (rng.chance(options.synonyms)) object.name += names.size();
    return objects;
  }

  // Text and phrase of an object where the options ask for more than its name.
  std::optional<ObjectText> text_of(const NamedObjects& scene, size_t i, Rng& rng) const {
    if (options.repeat_names > 0) {
      const size_t name = scene.objects[i].name;
      const auto times = std::ranges::count(scene.objects, name, &SceneObject::name);
      if (times > 1) return referring_phrase(scene, i, rng);
    }
    if (options.context > 0 && rng.chance(options.context)) return neighbour_phrase(scene, i);
    return std::nullopt;
  }

  std::vector<Region> regions_of(const std::vector<SceneObject>& objects,
                                 const std::vector<SceneObject>& said, uint64_t index) const {
    Rng rng(options.seed, {index, kPhraseStream});
    std::vector<Region> regions;
    for (size_t i = 0; i < objects.size(); ++i) {
      Region region = region_of(objects[i], said_names[said[i].name]);
      if (auto text = text_of({said, said_names}, i, rng)) {
        region.text = std::move(text->text);
        region.extra["phrase"] = std::move(text->phrase);
      }
      if (options.negatives > 0) {
        std::vector<size_t> like;
        for (size_t other = 0; other < emoji.size(); ++other) {
          if (other != objects[i].name && emoji[other].group == emoji[objects[i].name].group)
            like.push_back(other);
        }
        region.extra["negatives"] =
            wrong_phrases({objects, names}, i, like, options.negatives, rng);
      }
      regions.push_back(std::move(region));
    }
    return regions;
  }

  Region region_of(const SceneObject& object, const std::string& said) const {
    Region region;
    region.box = object.box;
    region.text = said;
    region.source = "scenes";
    region.extra["phrase"] = object_phrase(object, said);
    region.extra["name"] = names[object.name];
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
  const std::vector<SceneObject> said = impl_->as_said(objects, index);
  record.caption = scene_caption(said, impl_->said_names,
                                 say_background ? std::string_view(background.phrase) : "", rng);
  record.alt_text = scene_alt_text(objects, impl_->names, rng);
  if (impl_->alias_texts) {  // by numbers of their own: the rest of the scene stays as it is
    Rng own(options.seed, {index, kAliasStream});
    auto written = impl_->alias_texts->write(objects, own);
    record.alt_text = std::move(written.text);
    record.extra["mentions"] = std::move(written.mentions);
  }
  record.regions = impl_->regions_of(objects, said, index);
  record.label = impl_->label_of(objects);
  record.image = options.image_format == "png"
                     ? encode_png(background.image)
                     : encode_jpeg(background.image, 80 + static_cast<int>(rng.below(16)));
  return record;
}

}  // namespace opencloc
