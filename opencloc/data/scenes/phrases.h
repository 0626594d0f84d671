// Texts of a scene's objects that need more than the object's name: phrases that tell it from
// others of its name, phrases that need what stands beside it, second names, and texts that are
// wrong.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/data/scenes/layout.h"

namespace opencloc {

// The objects of a scene and their names, names[object.name].
struct NamedObjects {
  const std::vector<SceneObject>& objects;
  const std::vector<std::string>& names;
};

// "fox below the apple", and the same with the object's attributes before it.
struct ObjectText {
  std::string text, phrase;
};

// A phrase that is true of object `i` and of no other object of its name, drawn among those there
// are: by attributes ("large fox"), by something that stands there once ("fox below the apple"), by
// its place ("fox in the top left"). Nothing where no such phrase is found.
std::optional<ObjectText> referring_phrase(const NamedObjects& scene, size_t i, Rng& rng);

// The object and how it stands to the nearest other one of another name: "fox below the apple".
// Nothing where there is none.
std::optional<ObjectText> neighbour_phrase(const NamedObjects& scene, size_t i);

// A made-up word for a name, always the same and different for all names in use: a second name that
// no letter gives away. "fox" -> "dulimo".
std::string second_name(std::string_view name);

// At most `count` distinct phrases that are wrong of object `i`, each by one change of its own: of
// its size, its tint, its posture, or its name, which becomes another of `like` (indices into
// names, without the object's own; may be empty) that is not in the scene.
std::vector<std::string> wrong_phrases(const NamedObjects& scene, size_t i,
                                       const std::vector<size_t>& like, int count, Rng& rng);

}  // namespace opencloc
