// Other people's lists of things -> a base of entities (entity_files.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "opencloc/data/entities/entity_files.h"

namespace opencloc {

struct MakeEntitiesOptions {
  // wordnet    a folder with WordNet's data.noun and index.noun (Debian: wordnet-base,
  //            /usr/share/wordnet); also noun.exc and cntlist.rev where they are there
  // emoji      Unicode's emoji-test.txt
  // tsv        a folder with entities.tsv and aliases.tsv as entity_files.h has them; type,
  //            popularity, description and prior may be missing
  // spacy      a folder with entities.jsonl and aliases.jsonl (spacy-ann-linker), or with
  //            entity_alias.csv (WD_id|alias) and, where they are there, entity_defs.csv
  //            (WP_title|WD_id) and entity_descriptions.csv (WD_id|description) of spaCy's Wikidata
  //            project; or one such file WD_id|alias
  // wikidata   the JSON dump, an entity a line, unpacked; "-" is standard input
  std::string format;
  std::filesystem::path source;
  // emoji: a folder of WordNet, for descriptions and synonyms of the names it has as nouns where
  // its lexicographer file agrees with the emoji's group; empty = none.
  std::filesystem::path wordnet = {};
  std::string language = "en";  // wikidata: of names, aliases and descriptions
  double min_popularity = 0;    // less known entities are left out (wikidata: links to Wikipedias)
  std::function<void()> progress = {};  // called for each entity that is looked at
};

struct MadeEntities {
  int64_t entities = 0, aliases = 0;
  std::map<std::string, int64_t> left_out;  // by reason
  Json json() const;
};

const std::vector<std::string>& entity_formats();

// Whole or not at all. `also` may put more into the folder before it counts. Error (input) with
// file and line for what a source must not hold.
MadeEntities make_entities(
    const MakeEntitiesOptions& options, const std::filesystem::path& out,
    const std::function<void(const std::filesystem::path& folder, int64_t entities)>& also = {});

// Whether an emoji's group and WordNet's lexicographer file can speak of the same kind of thing: an
// emoji "mouse" among the animals is no computer's.
bool type_fits_group(std::string_view wordnet_type, std::string_view emoji_group);

}  // namespace opencloc
