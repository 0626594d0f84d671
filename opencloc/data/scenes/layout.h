// Which objects a scene has, how they look and where they stand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/data/scenes/background.h"
#include "opencloc/data/scenes/sprite.h"
#include "opencloc/image/box.h"

namespace opencloc {

struct SceneObject {
  size_t name = 0;  // index into the names in use
  Pose pose;
  std::vector<std::string_view> attributes;  // as they are said: "large", "reddish"
  Color tint = {};                           // used when `tinted`
  bool tinted = false;
  float opacity = 1;
  int form = -1;  // of its name (LayoutOptions::first_form); -1: the glyph as it is
  float hue = 0;  // by which its colours are turned, radians

  // Known once the scene is drawn.
  Box box;             // of the visible pixels, in [0, 1]
  float visible = 0;   // share of the object's pixels that can be seen, clipped ones counted
  int hidden_by = -1;  // the object in front that hides most of it, if that is a fair share
};

struct LayoutOptions {
  int size = 128;
  int min_objects = 1;
  int max_objects = 4;
  double repeats = 0;  // chance that an object has the name of an earlier one
  double tiny = 0;     // chance that it is of the size below "small"
  // Forms that objects are drawn in, [first, last) of SceneObject::form; none: 0, 0.
  int first_form = 0;
  int last_form = 0;
};

// Objects from back to front, with distinct names but for `repeats`; `can_mirror[name]` says which
// may be mirrored. Every scene has at least one object; more than fit without hiding one another
// are left out.
std::vector<SceneObject> lay_out(const LayoutOptions& options, const std::vector<bool>& can_mirror,
                                 Rng& rng);

// The largest side of an object, as a share of the picture's.
constexpr float kLargestObject = 0.72F;

}  // namespace opencloc
