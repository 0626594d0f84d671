#include "opencloc/data/scenes/layout.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

namespace opencloc {
namespace {

struct Tint {
  std::string_view phrase;
  Color color;
};
constexpr Tint kTints[] = {{"reddish", {255, 60, 50}},
                           {"greenish", {60, 215, 70}},
                           {"bluish", {70, 120, 255}},
                           {"yellowish", {255, 225, 50}},
                           {"purplish", {190, 80, 240}}};

// Sizes come in three classes with gaps between, so that the words are learnable.
struct SizeClass {
  std::string_view word;
  double least, most;
};
constexpr SizeClass kTiny = {"tiny", 1.0 / 16, 1.0 / 8};
constexpr SizeClass kSmall = {"small", 0.17, 0.23};
constexpr SizeClass kNormal = {"", 0.29, 0.42};
constexpr SizeClass kLarge = {"large", 0.5, kLargestObject};

const SizeClass& pick_size(size_t objects, Rng& rng) {
  const double small = objects == 1 ? 0.1 : 0.25;
  const double large = objects == 1 ? 0.45 : objects <= 3 ? 0.25 : 0.06;
  const double choice = rng.uniform();
  return choice < small ? kSmall : choice < small + large ? kLarge : kNormal;
}

constexpr double kDegree = std::numbers::pi / 180;

void pick_look(SceneObject& object, size_t objects, bool can_mirror, const LayoutOptions& options,
               Rng& rng) {
  const int size = options.size;
  const bool tiny = options.tiny > 0 && rng.chance(options.tiny);
  const SizeClass& size_class = tiny ? kTiny : pick_size(objects, rng);
  const int forms = options.last_form - options.first_form;
  if (forms > 0)
    object.form = options.first_form + static_cast<int>(rng.below(static_cast<uint64_t>(forms)));
  object.pose.side = static_cast<float>(rng.uniform(size_class.least, size_class.most) * size);
  if (!size_class.word.empty()) object.attributes.push_back(size_class.word);
  double angle = rng.uniform(-12, 12);
  const double turn = rng.uniform();
  if (turn < 0.07) {
    angle += 180;
    object.attributes.push_back("upside-down");
  } else if (turn < 0.17) {
    angle = (rng.chance(0.5) ? 1 : -1) * rng.uniform(28, 50);
    object.attributes.push_back("tilted");
  }
  object.pose.angle = static_cast<float>(angle * kDegree);
  object.pose.mirrored = can_mirror && rng.chance(0.5);
  const double colour = rng.uniform();
  if (colour < 0.12) {
    const Tint& tint = kTints[rng.below(std::size(kTints))];
    object.tint = tint.color;
    object.tinted = true;
    object.attributes.push_back(tint.phrase);
  } else if (colour < 0.17) {
    object.opacity = 0.5F;
    object.attributes.push_back("faded");
  }
}

Box extent(const Pose& pose) {
  const float half = 0.48F * pose.side;
  return {pose.center_x - half, pose.center_y - half, pose.center_x + half, pose.center_y + half};
}

// The larger share that either of two objects shares with the other.
float overlap(const Box& a, const Box& b) {
  return intersect(a, b).area() / std::min(a.area(), b.area());
}

// A place where the object overlaps none of `others` by more than `allowed`.
bool place(Pose& pose, const std::vector<SceneObject>& others, float allowed, int size, Rng& rng) {
  constexpr int kTries = 40;
  // Up to a seventh of the object may leave the picture.
  const double margin = 0.36 * pose.side;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    pose.center_x = static_cast<float>(rng.uniform(margin, size - margin));
    pose.center_y = static_cast<float>(rng.uniform(margin, size - margin));
    if (std::ranges::all_of(others, [&](const SceneObject& other) {
          return overlap(extent(pose), extent(other.pose)) <= allowed;
        })) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<SceneObject> lay_out(const LayoutOptions& options, const std::vector<bool>& can_mirror,
                                 Rng& rng) {
  const int spread = options.max_objects - options.min_objects + 1;
  const size_t wanted = std::min(static_cast<size_t>(options.min_objects) +
                                     static_cast<size_t>(rng.below(static_cast<uint64_t>(spread))),
                                 can_mirror.size());
  std::vector<SceneObject> objects;
  for (size_t i = 0; i < wanted; ++i) {
    SceneObject object;
    if (options.repeats > 0 && !objects.empty() && rng.chance(options.repeats)) {
      object.name = objects[rng.below(objects.size())].name;
    } else {
      do {
        object.name = rng.below(can_mirror.size());
      } while (std::ranges::any_of(
          objects, [&](const SceneObject& other) { return other.name == object.name; }));
    }
    pick_look(object, wanted, can_mirror[object.name], options, rng);
    const float allowed = rng.chance(0.25) ? 0.4F : 0.04F;
    if (place(object.pose, objects, allowed, options.size, rng)) objects.push_back(object);
  }
  return objects;
}

}  // namespace opencloc
