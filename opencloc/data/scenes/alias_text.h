// Alt-texts that name things by any of their aliases, with the truth beside them: what linking
// mentions to entities can be measured on.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/base/rng.h"
#include "opencloc/data/scenes/layout.h"
#include "opencloc/data/scenes/names.h"

namespace opencloc {

// Thread-safe once constructed.
class AliasTexts {
 public:
  // `entities`: a base of entities, of the emoji or WordNet's. A name's entity is the one that is
  // called so and whose type fits the emoji's group. Error (input) when no name has one.
  AliasTexts(const std::filesystem::path& entities, const std::vector<EmojiName>& emoji);

  struct Written {
    std::string text;
    Json mentions = Json::array();  // [{"span": [begin, end), "id", "visible": bool}], in order
  };
  // The main object is named, every other one by a chance of one half; a name is the full one (30
  // %), its head noun (40 %) or another alias (30 %), where there is one. 30 % of the mentions are
  // of things that are not there. Sales talk around, or nothing of use at all, as in
  // scene_alt_text(). What has no entity is named too, without truth.
  Written write(const std::vector<SceneObject>& objects, Rng& rng) const;

 private:
  struct Name {
    std::string name, head;
    std::vector<std::string> others;
    std::string id;  // empty: no entity
  };
  std::string said(const Name& name, Rng& rng) const;
  bool may_be_absent(size_t name, const std::vector<SceneObject>& objects) const;

  std::vector<Name> names_;
};

}  // namespace opencloc
