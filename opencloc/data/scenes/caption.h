// Scenes in words.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/data/scenes/layout.h"

namespace opencloc {

// "large reddish apple": the attributes before the bare name.
std::string object_phrase(const SceneObject& object, std::string_view name);

// "an apple", "some grapes".
std::string with_article(const std::string& phrase, std::string_view name);

// One sentence without a full stop that names every object with its attributes, how they stand to
// one another, and often the background. `names[object.name]` is the bare name; `background` may be
// empty. `objects` is not empty.
std::string scene_caption(const std::vector<SceneObject>& objects,
                          const std::vector<std::string>& names, std::string_view background,
                          Rng& rng);

// What the web would have written instead: some of the names, file names, sales talk, or nothing of
// use at all.
std::string scene_alt_text(const std::vector<SceneObject>& objects,
                           const std::vector<std::string>& names, Rng& rng);

// The parts of that: a text of no use, by a small chance; the objects, the largest first; what the
// web writes around names.
bool says_nothing(Rng& rng, std::string& text);
std::vector<const SceneObject*> largest_first(const std::vector<SceneObject>& objects);
struct AltTextDress {
  std::string before, after;
};
AltTextDress alt_text_dress(Rng& rng);

// Where a point in [0, 1] x [0, 1] lies: "in the top left", "in the middle".
std::string_view place_words(float x, float y);

}  // namespace opencloc
