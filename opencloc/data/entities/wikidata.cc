// Wikidata's JSON dump (https://doc.wikimedia.org/Wikibase/master/php/docs_topics_json.html): one
// list, an entity a line. It is far larger than memory, so a line is held at a time.
#include <fstream>
#include <iostream>

#include "opencloc/base/error.h"
#include "opencloc/base/json.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/entities/sources.h"

namespace opencloc {
namespace {

// entity[group][language]["value"], empty where it is not there.
std::string wikidata_text(const Json& entity, const char* group, const std::string& language) {
  const auto texts = entity.find(group);
  if (texts == entity.end() || !texts->is_object() || !texts->contains(language)) return {};
  const Json& text = (*texts)[language];
  return text.is_object() && text.contains("value") && text["value"].is_string()
             ? text["value"].get<std::string>()
             : std::string();
}

// The first "instance of" (P31), an id like Q5.
std::string instance_of(const Json& entity) {
  const Json::json_pointer kPlace("/claims/P31/0/mainsnak/datavalue/value/id");
  return entity.contains(kPlace) && entity[kPlace].is_string() ? entity[kPlace].get<std::string>()
                                                               : std::string();
}

void add_item(const EntitySink& sink, const Json& json, const std::string& where) {
  if (!json.is_object() || !json.contains("id") || !json["id"].is_string())
    throw Error::input("the line is no entity", where, "give Wikidata's JSON dump");
  if (json_string(json, "type", where, "item") != "item") return sink.leave_out("no items");
  const std::string& language = sink.options.language;
  Entity entity;
  entity.id = json["id"].get<std::string>();
  entity.name = wikidata_text(json, "labels", language);
  if (trimmed(entity.name).empty()) return sink.leave_out("without a name in the language");
  entity.type = instance_of(json);
  entity.description = wikidata_text(json, "descriptions", language);
  if (const auto links = json.find("sitelinks"); links != json.end() && links->is_object())
    entity.popularity = static_cast<double>(links->size());
  std::vector<EntityAlias> aliases = {{entity.name}};
  if (const auto all = json.find("aliases");
      all != json.end() && all->is_object() && all->contains(language)) {
    for (const Json& alias : (*all)[language]) {
      if (alias.is_object() && alias.contains("value") && alias["value"].is_string())
        aliases.push_back({alias["value"].get<std::string>()});
    }
  }
  sink.add(entity, aliases, where);
}

}  // namespace

void read_wikidata_entities(const EntitySink& sink) {
  const bool piped = sink.options.source == "-";
  std::ifstream file;
  if (!piped) {
    file.open(sink.options.source, std::ios::binary);
    if (!file || std::filesystem::is_directory(sink.options.source))
      throw Error::input("the dump cannot be opened", sink.options.source.string(),
                         "name the unpacked dump, or - and pipe it in");
  }
  std::istream& in = piped ? std::cin : file;
  const std::filesystem::path name = piped ? "standard input" : sink.options.source;
  std::string line;
  for (int64_t number = 1; std::getline(in, line); ++number) {
    std::string_view text = trimmed(line);
    if (text.ends_with(',')) text.remove_suffix(1);
    if (text.empty() || text == "[" || text == "]") continue;
    const std::string where = line_of_file(name, number);
    if (text.starts_with("\x1f\x8b") || text.starts_with("BZh"))
      throw Error::input("the dump is compressed", where,
                         "unpack it in front: zcat, bzcat, then -");
    add_item(sink, parse_json(text, where), where);
  }
  if (in.bad()) throw Error::failed("cannot read (" + errno_text() + ")", name.string());
}

}  // namespace opencloc
