// One function a source of entities, for make_entities.cc.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "opencloc/data/entities/make_entities.h"

namespace opencloc {

struct EntitySink {
  const MakeEntitiesOptions& options;
  EntityWriter& writer;
  MadeEntities& made;

  void leave_out(const char* reason) const { ++made.left_out[reason]; }
  // Unless it is not known enough.
  void add(const Entity& entity, const std::vector<EntityAlias>& aliases,
           const std::string& where) const;
};

void read_table_entities(const EntitySink& sink);
void read_spacy_entities(const EntitySink& sink);
void read_wordnet_entities(const EntitySink& sink);
void read_emoji_entities(const EntitySink& sink);
void read_wikidata_entities(const EntitySink& sink);

// A noun synset of WordNet.
struct Synset {
  std::string offset;  // eight digits: its id
  std::string type;    // "noun.animal"
  std::vector<std::string> words;
  std::string gloss;
  std::string where;  // file and line
};

// WordNet's nouns, in the order of data.noun.
struct WordNetNouns {
  std::vector<Synset> synsets;
  std::unordered_map<std::string, size_t> by_offset;
  // Lower-case lemma with blanks -> its senses, the most frequent first, and how often each was
  // found in WordNet's tagged texts.
  struct Sense {
    size_t synset = 0;
    int64_t count = 0;
  };
  std::unordered_map<std::string, std::vector<Sense>> senses;
  // "mice" -> {"mouse"}: plurals that no rule makes.
  std::vector<std::pair<std::string, std::string>> plurals;
};
WordNetNouns read_wordnet_nouns(const std::filesystem::path& folder);

}  // namespace opencloc
