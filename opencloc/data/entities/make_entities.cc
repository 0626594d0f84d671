#include "opencloc/data/entities/make_entities.h"

#include <algorithm>
#include <array>

#include "opencloc/base/error.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/entities/entity_base.h"
#include "opencloc/data/entities/sources.h"

namespace opencloc {
namespace {

struct EntitySource {
  const char* format;
  void (*read)(const EntitySink& sink);
};
constexpr EntitySource kEntitySources[] = {{"wordnet", read_wordnet_entities},
                                           {"emoji", read_emoji_entities},
                                           {"tsv", read_table_entities},
                                           {"spacy", read_spacy_entities},
                                           {"wikidata", read_wikidata_entities}};

}  // namespace

const std::vector<std::string>& entity_formats() {
  static const std::vector<std::string> formats = [] {
    std::vector<std::string> names;
    for (const auto& source : kEntitySources) names.emplace_back(source.format);
    return names;
  }();
  return formats;
}

Json MadeEntities::json() const {
  Json json = {{"entities", entities}, {"aliases", aliases}, {"left_out", Json::object()}};
  for (const auto& [reason, count] : left_out) json["left_out"][reason] = count;
  return json;
}

void EntitySink::add(const Entity& entity, const std::vector<EntityAlias>& aliases,
                     const std::string& where) const {
  if (options.progress) options.progress();
  if (entity.popularity < options.min_popularity) return leave_out("not popular enough");
  writer.add(entity, aliases, where);
}

MadeEntities make_entities(
    const MakeEntitiesOptions& options, const std::filesystem::path& out,
    const std::function<void(const std::filesystem::path& folder, int64_t entities)>& also) {
  const auto source = std::ranges::find_if(
      kEntitySources, [&](const auto& one) { return one.format == options.format; });
  if (source == std::end(kEntitySources))
    throw Error::input("unknown format '" + options.format + "'", "setting 'format'");
  MadeEntities made;
  write_folder(out, [&](const std::filesystem::path& folder) {
    EntityWriter writer(folder);
    source->read({options, writer, made});
    made.entities = writer.entities();
    made.aliases = writer.aliases();
    Json about = {{"format", options.format}, {"source", options.source.string()}};
    if (!options.wordnet.empty()) about["wordnet"] = options.wordnet.string();
    if (options.format == "wikidata") about["language"] = options.language;
    if (options.min_popularity > 0) about["min_popularity"] = options.min_popularity;
    about["left_out"] = made.json()["left_out"];
    writer.finish(about);
    if (also) also(folder, made.entities);
  });
  return made;
}

bool type_fits_group(std::string_view wordnet_type, std::string_view emoji_group) {
  struct Fit {
    std::string_view group, type;
  };
  static constexpr auto kFits = std::to_array<Fit>({{"Animals & Nature", "noun.animal"},
                                                    {"Animals & Nature", "noun.plant"},
                                                    {"Animals & Nature", "noun.object"},
                                                    {"Food & Drink", "noun.food"},
                                                    {"Food & Drink", "noun.plant"},
                                                    {"Food & Drink", "noun.artifact"},
                                                    {"Travel & Places", "noun.artifact"},
                                                    {"Travel & Places", "noun.object"},
                                                    {"Travel & Places", "noun.location"},
                                                    {"Activities", "noun.artifact"},
                                                    {"Objects", "noun.artifact"},
                                                    {"People & Body", "noun.body"},
                                                    {"People & Body", "noun.person"}});
  return std::ranges::any_of(
      kFits, [&](const Fit& fit) { return fit.group == emoji_group && fit.type == wordnet_type; });
}

// A table's entities are checked against its aliases before anything is written, because the two
// lie in two files: this is the one source that is held in memory twice.
void read_table_entities(const EntitySink& sink) {
  struct Listed {
    Entity entity;
    std::string where;
    std::vector<EntityAlias> aliases;
  };
  const auto entities_file = sink.options.source / kEntitiesTable;
  std::vector<Listed> listed;
  std::unordered_map<std::string, size_t> rows;
  for_each_table_line(
      entities_file, {"id", "name", "type", "popularity", "description"}, 2,
      [&](const std::vector<std::string>& fields, const std::string& where) {
        const std::string id(trimmed(fields[0]));
        if (!rows.emplace(id, listed.size()).second)
          throw Error::input("id '" + id + "' is there twice", where, "remove one of the lines");
        listed.push_back(
            {{id, fields[1], fields[2], number_field(fields[3], 0, "popularity", where), fields[4]},
             where,
             {}});
      });
  for_each_table_line(sink.options.source / kAliasesTable, {"alias", "id", "prior"}, 2,
                      [&](const std::vector<std::string>& fields, const std::string& where) {
                        const auto row = rows.find(std::string(trimmed(fields[1])));
                        if (row == rows.end())
                          throw Error::input("there is no entity '" + fields[1] + "'", where,
                                             "add it to entities.tsv, or remove the line");
                        if (trimmed(fields[0]).empty())
                          throw Error::input("the alias is empty", where);
                        EntityAlias alias{fields[0], std::nullopt};
                        if (!trimmed(fields[2]).empty()) {
                          alias.prior = number_field(fields[2], 0, "prior", where);
                          if (*alias.prior > 1) throw Error::input("the prior is above 1", where);
                        }
                        listed[row->second].aliases.push_back(std::move(alias));
                      });
  for (const auto& one : listed) sink.add(one.entity, one.aliases, one.where);
}

}  // namespace opencloc
