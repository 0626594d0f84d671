// Generated scenes: objects of a colour emoji font on drawn backgrounds, with exact boxes, captions
// and phrases. Goals: image-text and region-text learning that works in minutes and needs no
// download; held-out names for open-vocabulary claims. Non-goal: realism.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "opencloc/data/shard/record.h"

namespace opencloc {

// About a tenth of the names is held out, fixed for ever by a hash of the name: they are drawn only
// when asked for.
enum class SceneSplit { kTrain, kHeldOut, kAll };

// How each name looks: its glyph as it is; or one of six forms of it (stretched, slanted, of
// another hue), or one of two others that kTrain never draws. A name's forms are fixed for ever.
enum class SceneVariants { kNone, kTrain, kHeldOut };

struct SceneOptions {
  int size = 128;  // pixels a side, 32..1024
  int min_objects = 1;
  int max_objects = 4;  // at most 8; fewer are drawn where they do not fit
  // Chance in [0, 1] that an object has the name of an earlier one of its scene: something to
  // count.
  double repeats = 0;
  // The same chance; and the texts of objects whose name occurs more than once are phrases that
  // tell them apart ("fox below the apple", phrases.h), where one is found.
  double repeat_names = 0;
  // Chance that the text of another object needs what stands beside it ("fox below the apple").
  double context = 0;
  // Chance that an object goes by its name's second name, a made-up word, in texts and caption.
  double synonyms = 0;
  // Chance that an object is "tiny": a sixteenth to an eighth of the side.
  double tiny = 0;
  SceneVariants variants = SceneVariants::kNone;
  int negatives = 0;  // wrong texts of each object, at most 4 ("negatives" of its region)
  SceneSplit split = SceneSplit::kTrain;
  uint64_t seed = 0;
  // Use the first N names of the split in a fixed shuffled order (0 = all), animals, food and
  // things first; a smaller world is learned faster.
  int names = 0;
  std::string image_format = "jpg";  // "jpg" or "png"
  // A base of entities (data/entities): alt-texts then name things by any of their aliases, and the
  // record has the truth as "mentions" (alias_text.h). Empty = plain names.
  std::filesystem::path entities = {};
  std::filesystem::path font = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf";
  std::filesystem::path emoji_list = "/usr/share/unicode/emoji/emoji-test.txt";
};

class SceneGenerator {
 public:
  // Error (input): an option out of range, the font or the list of names missing (named with the
  // package that brings it).
  explicit SceneGenerator(SceneOptions options);
  ~SceneGenerator();

  // Scene `index` depends on the options and the index alone. Thread-safe.
  // The record: key (nine digits), extension and image; caption (names every object, most
  // attributes, spatial relations and often the background); alt_text (what the web would have
  // written: poorer and noisy); label (name of the main object, where there is one); and per
  // object a region: box of its visible pixels, text = bare name, score 1, source "scenes",
  // extra {"phrase": name with attributes, "name", "held_out": bool, "visible": share in (0, 1],
  // "negatives": wrong phrases, where they are asked for}. With repeat_names, context and synonyms
  // text and phrase may be others; "name" and label are the names in any case.
  Record make(uint64_t index) const;

  // The names in use, in the fixed order.
  const std::vector<std::string>& names() const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace opencloc
