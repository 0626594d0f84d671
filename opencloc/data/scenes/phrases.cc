#include "opencloc/data/scenes/phrases.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "opencloc/data/scenes/caption.h"

namespace opencloc {
namespace {

constexpr float kClose = 0.12F;  // of the side, between centres: "next to"
constexpr std::array<std::string_view, 3> kSizeWords = {"tiny", "small", "large"};
constexpr std::array<std::string_view, 2> kPostureWords = {"tilted", "upside-down"};
constexpr std::array<std::string_view, 5> kTintWords = {"reddish", "greenish", "bluish",
                                                        "yellowish", "purplish"};

float middle_x(const Box& box) { return (box.x0 + box.x1) / 2; }
float middle_y(const Box& box) { return (box.y0 + box.y1) / 2; }
float distance(const Box& a, const Box& b) {
  return std::hypot(middle_x(a) - middle_x(b), middle_y(a) - middle_y(b));
}

// How object `a` stands to `b`, always by the same words.
std::string_view stands(const std::vector<SceneObject>& objects, size_t a, size_t b) {
  if (objects[a].hidden_by == static_cast<int>(b)) return "behind";
  if (objects[b].hidden_by == static_cast<int>(a)) return "in front of";
  const float dx = middle_x(objects[a].box) - middle_x(objects[b].box);
  const float dy = middle_y(objects[a].box) - middle_y(objects[b].box);
  if (std::max(std::abs(dx), std::abs(dy)) < kClose) return "next to";
  if (std::abs(dx) > std::abs(dy)) return dx < 0 ? "left of" : "right of";
  return dy < 0 ? "above" : "below";
}

std::vector<size_t> others_of_its_name(const std::vector<SceneObject>& objects, size_t i) {
  std::vector<size_t> same;
  for (size_t j = 0; j < objects.size(); ++j)
    if (j != i && objects[j].name == objects[i].name) same.push_back(j);
  return same;
}

std::string place_of(const SceneObject& object) {
  return std::string(place_words(middle_x(object.box), middle_y(object.box)));
}

bool has_word(const SceneObject& object, std::string_view word) {
  return std::ranges::find(object.attributes, word) != object.attributes.end();
}

// The object's phrase with one of `words`, not the one it has, in place of that, else in front.
template <size_t N>
std::string with_another(const SceneObject& object, std::string_view name,
                         const std::array<std::string_view, N>& words, Rng& rng) {
  std::vector<std::string_view> others;
  for (const auto word : words)
    if (!has_word(object, word)) others.push_back(word);
  SceneObject changed = object;
  const std::string_view chosen = others[rng.below(others.size())];
  const auto own = std::ranges::find_if(changed.attributes, [&](std::string_view attribute) {
    return std::ranges::find(words, attribute) != words.end();
  });
  if (own != changed.attributes.end()) {
    *own = chosen;
  } else {
    changed.attributes.insert(changed.attributes.begin(), chosen);
  }
  return object_phrase(changed, name);
}

uint64_t letters_hash(std::string_view text) {
  uint64_t hash = 0x84222325cbf29ce4ULL;  // FNV-1a's steps from another start
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  return mix64(hash);
}

}  // namespace

std::optional<ObjectText> referring_phrase(const NamedObjects& scene, size_t i, Rng& rng) {
  const auto& objects = scene.objects;
  const std::string& name = scene.names[objects[i].name];
  const auto same = others_of_its_name(objects, i);
  const auto nobody_else = [&](const auto& holds) { return std::ranges::none_of(same, holds); };
  const std::string own = object_phrase(objects[i], name);
  std::vector<ObjectText> found;
  // Attributes alone: "large fox" must not be true of a "large reddish fox".
  if (own != name && nobody_else([&](size_t j) {
        return std::ranges::all_of(objects[i].attributes, [&](std::string_view attribute) {
          return has_word(objects[j], attribute);
        });
      })) {
    found.push_back({own, own});
  }
  for (size_t k = 0; k < objects.size(); ++k) {
    if (k == i || objects[k].name == objects[i].name || !others_of_its_name(objects, k).empty())
      continue;
    const auto relation = stands(objects, i, k);
    if (!nobody_else([&](size_t j) { return stands(objects, j, k) == relation; })) continue;
    const std::string rest = ' ' + std::string(relation) + " the " + scene.names[objects[k].name];
    found.push_back({name + rest, own + rest});
  }
  const std::string place = place_of(objects[i]);
  if (nobody_else([&](size_t j) { return place_of(objects[j]) == place; }))
    found.push_back({name + ' ' + place, own + ' ' + place});
  if (found.empty()) return std::nullopt;
  return found[rng.below(found.size())];
}

std::optional<ObjectText> neighbour_phrase(const NamedObjects& scene, size_t i) {
  const auto& objects = scene.objects;
  std::optional<size_t> nearest;
  float least = std::numeric_limits<float>::max();
  for (size_t k = 0; k < objects.size(); ++k) {
    if (objects[k].name == objects[i].name) continue;
    const float apart = distance(objects[i].box, objects[k].box);
    if (apart >= least) continue;
    least = apart;
    nearest = k;
  }
  if (!nearest) return std::nullopt;
  const std::string& name = scene.names[objects[i].name];
  const std::string rest = ' ' + std::string(stands(objects, i, *nearest)) + " the " +
                           scene.names[objects[*nearest].name];
  return ObjectText{name + rest, object_phrase(objects[i], name) + rest};
}

std::string second_name(std::string_view name) {
  constexpr std::string_view kConsonants = "bdfgklmnprstvz", kVowels = "aeiou";
  uint64_t hash = letters_hash(name);
  std::string word;
  for (int syllable = 0; syllable < 4; ++syllable) {  // 70^4 words for a thousand names
    word += kConsonants[hash % kConsonants.size()];
    hash /= kConsonants.size();
    word += kVowels[hash % kVowels.size()];
    hash /= kVowels.size();
  }
  return word;
}

std::vector<std::string> wrong_phrases(const NamedObjects& scene, size_t i,
                                       const std::vector<size_t>& like, int count, Rng& rng) {
  const SceneObject& object = scene.objects[i];
  const std::string& name = scene.names[object.name];
  std::vector<std::string> wrong = {with_another(object, name, kSizeWords, rng),
                                    with_another(object, name, kTintWords, rng),
                                    with_another(object, name, kPostureWords, rng)};
  std::vector<size_t> absent;
  for (const size_t other : like) {
    if (std::ranges::none_of(scene.objects,
                             [&](const SceneObject& one) { return one.name == other; }))
      absent.push_back(other);
  }
  if (!absent.empty())
    wrong.push_back(object_phrase(object, scene.names[absent[rng.below(absent.size())]]));
  rng.shuffle(wrong);
  if (wrong.size() > static_cast<size_t>(count)) wrong.resize(static_cast<size_t>(count));
  return wrong;
}

}  // namespace opencloc
