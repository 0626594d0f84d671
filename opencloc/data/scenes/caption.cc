#include "opencloc/data/scenes/caption.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include <spdlog/fmt/fmt.h>

#include "opencloc/data/scenes/names.h"

namespace opencloc {
namespace {

struct Point {
  float x, y;
};
Point center(const Box& box) { return {(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2}; }

using Words = std::array<std::string_view, 2>;
constexpr Words kLeft = {"to the left of", "left of"};
constexpr Words kRight = {"to the right of", "right of"};
constexpr Words kAbove = {"above", "over"};
constexpr Words kBelow = {"below", "under"};
std::string pick(const Words& words, Rng& rng) { return std::string(words[rng.below(2)]); }

// How a stands to b, for "a ... b".
std::string relation(const std::vector<SceneObject>& objects, size_t a, size_t b, Rng& rng) {
  if (objects[a].hidden_by == static_cast<int>(b)) return "behind";
  if (objects[b].hidden_by == static_cast<int>(a)) return "in front of";
  const Point p = center(objects[a].box);
  const Point q = center(objects[b].box);
  const float dx = p.x - q.x;
  const float dy = p.y - q.y;
  if (std::max(std::abs(dx), std::abs(dy)) < 0.12F) return "next to";
  if (std::abs(dx) > std::abs(dy)) return pick(dx < 0 ? kLeft : kRight, rng);
  return pick(dy < 0 ? kAbove : kBelow, rng);
}

// How c stands to both a and b: "below them", or its own place in the picture.
std::string relation_to_both(const Box& a, const Box& b, const Box& c) {
  constexpr float kGap = 0.1F;
  const Point p = center(c);
  const Point q = center(a);
  const Point r = center(b);
  if (p.y > std::max(q.y, r.y) + kGap) return "below them";
  if (p.y < std::min(q.y, r.y) - kGap) return "above them";
  if (p.x < std::min(q.x, r.x) - kGap) return "to the left of them";
  if (p.x > std::max(q.x, r.x) + kGap) return "to the right of them";
  return std::string(place_words(p.x, p.y));
}

std::string join(const std::vector<std::string>& parts) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += i + 1 == parts.size() ? " and " : ", ";
    out += parts[i];
  }
  return out;
}

// "grapes", "people hugging", "bowl with ..." by its head; not "glass", "bus", "tennis", nor the
// sign "no bicycles".
bool is_plural(std::string_view name) {
  static constexpr std::string_view kIrregular[] = {"skis", "maracas", "women", "men", "people"};
  static constexpr std::string_view kSingularEnds[] = {"ss", "us", "is", "os", "as"};
  name = before_preposition(name);
  const auto ends_name = [&](std::string_view end) { return name.ends_with(end); };
  if (std::ranges::find(kIrregular, name) != std::end(kIrregular)) return true;
  return ends_name("s") && !name.starts_with("no ") &&
         std::ranges::none_of(kSingularEnds, ends_name);
}

// Whether "an" stands before it, by the sound of its beginning.
bool begins_with_vowel(std::string_view phrase) {
  const auto begins = [&](std::string_view start) { return phrase.starts_with(start); };
  if (begins("uni") || begins("one-") || begins("eu") || begins("ewe")) return false;
  if (begins("hour") || begins("x-ray")) return true;
  return std::string_view("aeiou").find(phrase[0]) != std::string_view::npos;
}

}  // namespace

std::string_view place_words(float x, float y) {
  static constexpr std::string_view kPlaces[3][3] = {
      {"in the top left", "at the top", "in the top right"},
      {"on the left", "in the middle", "on the right"},
      {"in the bottom left", "at the bottom", "in the bottom right"}};
  const auto third = [](float t) { return t < 0.36F ? 0 : t > 0.64F ? 2 : 1; };
  return kPlaces[third(y)][third(x)];
}

std::string object_phrase(const SceneObject& object, std::string_view name) {
  std::string phrase;
  for (const std::string_view attribute : object.attributes) {
    phrase.append(attribute).append(" ");
  }
  return phrase.append(name);
}

std::string with_article(const std::string& phrase, std::string_view name) {
  if (is_plural(name)) return "some " + phrase;
  return (begins_with_vowel(phrase) ? "an " : "a ") + phrase;
}

std::string scene_caption(const std::vector<SceneObject>& objects,
                          const std::vector<std::string>& names, std::string_view background,
                          Rng& rng) {
  std::vector<size_t> order(objects.size());
  std::iota(order.begin(), order.end(), size_t{0});
  rng.shuffle(order);
  const auto named = [&](size_t i) {
    const std::string& name = names[objects[i].name];
    return with_article(object_phrase(objects[i], name), name);
  };
  const auto placed = [&](size_t i) {
    const Point p = center(objects[i].box);
    return fmt::format("{} {}", named(i), place_words(p.x, p.y));
  };

  std::vector<std::string> parts;
  if (order.size() == 1) {
    parts = {rng.chance(0.5) ? named(order[0]) : placed(order[0])};
  } else if (order.size() > 2 && rng.chance(0.2)) {
    std::ranges::transform(order, std::back_inserter(parts), named);
  } else {
    const size_t a = order[0];
    const size_t b = order[1];
    parts = {fmt::format("{} {} {}", named(a), relation(objects, a, b, rng), named(b))};
    for (size_t i = 2; i < order.size(); ++i) {
      const size_t c = order[i];
      parts.push_back(
          i == 2 ? fmt::format("{} {}", named(c),
                               relation_to_both(objects[a].box, objects[b].box, objects[c].box))
                 : placed(c));
    }
  }
  std::string caption = join(parts);
  if (!background.empty()) caption.append(" on ").append(background);
  return caption;
}

bool says_nothing(Rng& rng, std::string& text) {
  if (!rng.chance(0.08)) return false;
  text = rng.chance(0.5) ? "untitled" : fmt::format("DSC{:05}.JPG", rng.below(100'000));
  return true;
}

std::vector<const SceneObject*> largest_first(const std::vector<SceneObject>& objects) {
  std::vector<const SceneObject*> by_size;
  by_size.reserve(objects.size());
  for (const SceneObject& object : objects) by_size.push_back(&object);
  std::ranges::stable_sort(by_size, std::ranges::greater(),
                           [](const SceneObject* object) { return object->box.area(); });
  return by_size;
}

AltTextDress alt_text_dress(Rng& rng) {
  switch (rng.below(6)) {
    case 0:
      return {fmt::format("IMG_{:04} ", rng.below(10'000)), ""};
    case 1:
      return {"", " stock photo"};
    case 2:
      return {"buy ", " online - free shipping"};
    case 3:
      return {"", fmt::format(" wallpaper {}", 2005 + rng.below(20))};
    case 4:
      return {"my ", " :)"};
    default:
      return {};
  }
}

std::string scene_alt_text(const std::vector<SceneObject>& objects,
                           const std::vector<std::string>& names, Rng& rng) {
  std::string nothing;
  if (says_nothing(rng, nothing)) return nothing;
  // The main object is the likeliest to be named.
  const auto by_size = largest_first(objects);
  std::string words;
  for (size_t i = 0; i < by_size.size(); ++i) {
    if (i > 0 && rng.chance(0.5)) continue;
    if (!words.empty()) words += ' ';
    words += names[by_size[i]->name];
  }
  const AltTextDress dress = alt_text_dress(rng);
  return dress.before + words + dress.after;
}

}  // namespace opencloc
