#include "opencloc/data/scenes/alias_text.h"

#include <algorithm>

#include "opencloc/base/error.h"
#include "opencloc/data/entities/entity_base.h"
#include "opencloc/data/entities/make_entities.h"
#include "opencloc/data/scenes/caption.h"
#include "opencloc/text/clean_text.h"

namespace opencloc {
namespace {

constexpr double kFullName = 0.3, kHeadNoun = 0.4;  // the rest: another alias
constexpr double kAbsent = 0.3;                     // of all mentions

// The row of the entity that is this emoji.
std::optional<uint32_t> entity_of(const EntityBase& base, const EmojiName& emoji) {
  std::optional<uint32_t> first;
  for (const auto& alias : base.find(emoji.name)) {
    const auto& entity = base[alias.entity];
    if (entity.type != emoji.group && !type_fits_group(entity.type, emoji.group)) continue;
    if (entity.name == emoji.name) return alias.entity;
    if (!first) first = alias.entity;
  }
  return first;
}

}  // namespace

AliasTexts::AliasTexts(const std::filesystem::path& entities, const std::vector<EmojiName>& emoji) {
  const EntityBase base(entities);
  std::unordered_map<uint32_t, size_t> named;
  for (const EmojiName& one : emoji) {
    Name name{one.name, std::string(head_noun(one.name)), {}, {}};
    if (const auto row = entity_of(base, one)) {
      name.id = std::string(base[*row].id);
      named.emplace(*row, names_.size());
    }
    names_.push_back(std::move(name));
  }
  if (named.empty())
    throw Error::input("no name of the scenes is an entity", entities.string(),
                       "name a folder that 'data entities' made of the emoji or of WordNet");
  for (const auto& alias : base.aliases()) {
    const auto found = named.find(alias.entity);
    if (found == named.end()) continue;
    Name& name = names_[found->second];
    if (alias.text != name.name && alias.text != name.head) name.others.emplace_back(alias.text);
  }
}

std::string AliasTexts::said(const Name& name, Rng& rng) const {
  const double kind = rng.uniform();
  if (kind < kFullName) return name.name;
  if (kind < kFullName + kHeadNoun) return name.head;
  return name.others.empty() ? name.name : name.others[rng.below(name.others.size())];
}

// Not while something of the same head noun is there, of which the words would be true.
bool AliasTexts::may_be_absent(size_t name, const std::vector<SceneObject>& objects) const {
  return std::ranges::none_of(objects, [&](const SceneObject& object) {
    return names_[object.name].head == names_[name].head;
  });
}

AliasTexts::Written AliasTexts::write(const std::vector<SceneObject>& objects, Rng& rng) const {
  Written written;
  if (says_nothing(rng, written.text)) return written;
  struct Mention {
    size_t name;
    bool visible;
  };
  std::vector<Mention> mentions;
  const auto add = [&](size_t name) {
    mentions.push_back({name, true});
    if (!rng.chance(kAbsent / (1 - kAbsent))) return;
    const size_t absent = rng.below(names_.size());
    if (may_be_absent(absent, objects)) mentions.push_back({absent, false});
  };
  const auto by_size = largest_first(objects);
  for (size_t i = 0; i < by_size.size(); ++i) {
    if (i == 0 || rng.chance(0.5)) add(by_size[i]->name);
  }
  rng.shuffle(mentions);
  const AltTextDress dress = alt_text_dress(rng);
  std::string& text = written.text;
  text = dress.before;
  for (size_t i = 0; i < mentions.size(); ++i) {
    if (i > 0) text += i + 1 == mentions.size() && rng.chance(0.5) ? " and " : ", ";
    const Name& name = names_[mentions[i].name];
    const size_t begin = utf8_characters(text);
    text += said(name, rng);
    if (name.id.empty()) continue;
    written.mentions.push_back({{"span", {begin, utf8_characters(text)}},
                                {"id", name.id},
                                {"visible", mentions[i].visible}});
  }
  text += dress.after;
  return written;
}

}  // namespace opencloc
