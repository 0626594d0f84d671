// What spaCy's linkers read: lines of JSON (spacy-ann-linker), or tables with | between the fields
// (spaCy's Wikidata project).
#include <optional>
#include <unordered_map>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/entities/sources.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

// Entities by id, in the order they came.
class SpacyList {
 public:
  struct Listed {
    Entity entity;
    std::vector<EntityAlias> aliases;
    std::string where;
  };
  Listed& add(const std::string& id, const std::string& where) {
    const auto [at, fresh] = rows_.emplace(id, list_.size());
    if (fresh) {
      list_.push_back({});
      list_.back().entity.id = id;
      list_.back().where = where;
    }
    return list_[at->second];
  }
  Listed* find(const std::string& id) {
    const auto found = rows_.find(id);
    return found == rows_.end() ? nullptr : &list_[found->second];
  }
  void write(const EntitySink& sink) {
    for (auto& one : list_) {
      if (one.entity.name.empty() && !one.aliases.empty())
        one.entity.name = one.aliases.front().text;
      sink.add(one.entity, one.aliases, one.where);
    }
  }

 private:
  std::unordered_map<std::string, size_t> rows_;
  std::vector<Listed> list_;
};

std::string id_of(const Json& value, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return dump_json(value);
  throw Error::input("an id is neither text nor a whole number", where);
}

template <typename Visit>
void for_each_json_line(const fs::path& path, const Visit& visit) {
  const std::string text = read_text(path);
  for_each_text_line(text, [&](std::string_view line, int64_t number) {
    if (trimmed(line).empty()) return;
    const std::string where = line_of_file(path, number);
    const Json json = parse_json(line, where);
    if (!json.is_object()) throw Error::input("the line is no JSON object", where);
    visit(json, where);
  });
}

void read_jsonl(const fs::path& folder, SpacyList& list) {
  for_each_json_line(folder / "entities.jsonl", [&](const Json& json, const std::string& where) {
    const std::string id = id_of(json_at(json, "id", where), where);
    if (list.find(id) != nullptr) throw Error::input("id '" + id + "' is there twice", where);
    Entity& entity = list.add(id, where).entity;
    entity.name = json_string(json, "name", where, "");
    entity.type = json_string(json, "label", where, json_string(json, "type", where, ""));
    entity.popularity = json_number(json, "freq", where, json_number(json, "popularity", where, 0));
    entity.description = json_string(json, "description", where, "");
  });
  for_each_json_line(folder / "aliases.jsonl", [&](const Json& json, const std::string& where) {
    const std::string alias = json_string(json, "alias", where, "");
    if (trimmed(alias).empty()) throw Error::input("the line has no alias", where);
    const Json& ids = json_at(json, "entities", where);
    const Json priors = json.value("probabilities", Json::array());
    if (!ids.is_array() || !priors.is_array() || (!priors.empty() && priors.size() != ids.size()))
      throw Error::input("entities and probabilities are not two lists of one length", where);
    for (size_t i = 0; i < ids.size(); ++i) {
      auto* entity = list.find(id_of(ids[i], where));
      if (entity == nullptr)
        throw Error::input("there is no entity '" + id_of(ids[i], where) + "'", where,
                           "add it to entities.jsonl, or remove it here");
      EntityAlias one{alias};
      if (!priors.empty()) {
        if (!priors[i].is_number() || priors[i].get<double>() < 0 || priors[i].get<double>() > 1)
          throw Error::input("a probability is not from 0 to 1", where);
        one.prior = priors[i].get<double>();
      }
      entity->aliases.push_back(std::move(one));
    }
  });
}

// Lines "a|b": the id is the field whose header has "id" in it (WD_id), else the first.
void for_each_pair(const fs::path& path,
                   const std::function<void(const std::string& id, const std::string& text,
                                            const std::string& where)>& visit) {
  const std::string text = read_text(path);
  require_utf8(text, path.string());
  bool id_last = false;
  for_each_text_line(text, [&](std::string_view line, int64_t number) {
    if (trimmed(line).empty()) return;
    const std::string where = line_of_file(path, number);
    size_t bar = line.find('|');
    if (bar == line.npos) throw Error::input("the line has no |", where, "write WD_id|alias");
    if (number == 1 && line.find("WD_id") != line.npos) {
      id_last = line.find("WD_id") > bar;
      return;
    }
    if (id_last) bar = line.rfind('|');
    const std::string first(trimmed(line.substr(0, bar))), last(trimmed(line.substr(bar + 1)));
    const std::string &id = id_last ? last : first, &other = id_last ? first : last;
    if (id.empty() || other.empty())
      throw Error::input("one side of the | is empty", where, "write WD_id|alias");
    visit(id, other, where);
  });
}

void read_pairs(const fs::path& source, SpacyList& list) {
  const bool folder = fs::is_directory(source);
  const fs::path aliases = folder ? source / "entity_alias.csv" : source;
  const fs::path parent = folder ? source : fs::path();
  if (folder && fs::exists(parent / "entity_defs.csv")) {
    for_each_pair(parent / "entity_defs.csv",
                  [&](const auto& id, const auto& title, const auto& where) {
                    auto& one = list.add(id, where);
                    if (one.entity.name.empty()) one.entity.name = title;
                    one.aliases.push_back({title});
                  });
  }
  for_each_pair(aliases, [&](const auto& id, const auto& alias, const auto& where) {
    list.add(id, where).aliases.push_back({alias});
  });
  if (folder && fs::exists(parent / "entity_descriptions.csv")) {
    for_each_pair(parent / "entity_descriptions.csv",
                  [&](const auto& id, const auto& text, const auto&) {
                    if (auto* one = list.find(id)) one->entity.description = text;
                  });
  }
}

}  // namespace

void read_spacy_entities(const EntitySink& sink) {
  const fs::path& source = sink.options.source;
  SpacyList list;
  if (fs::exists(source / "entities.jsonl")) {
    read_jsonl(source, list);
  } else if (fs::is_directory(source) && !fs::exists(source / "entity_alias.csv")) {
    throw Error::input(
        "neither entities.jsonl nor entity_alias.csv is there", source.string(),
        "name the folder of spacy-ann-linker's or spaCy's files, or a file WD_id|alias");
  } else {
    read_pairs(source, list);
  }
  list.write(sink);
}

}  // namespace opencloc
