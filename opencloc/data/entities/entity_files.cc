#include "opencloc/data/entities/entity_files.h"

#include <cmath>
#include <set>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/text_file.h"

namespace opencloc {

std::string escape_field(std::string_view field) {
  std::string escaped;
  for (const char c : field) {
    if (c == '\t')
      escaped += "\\t";
    else if (c == '\n')
      escaped += "\\n";
    else if (c == '\r')
      escaped += "\\r";
    else if (c == '\\')
      escaped += "\\\\";
    else
      escaped += c;
  }
  return escaped;
}

std::string unescape_field(std::string_view field, const std::string& where) {
  std::string plain;
  for (size_t i = 0; i < field.size(); ++i) {
    if (field[i] != '\\') {
      plain += field[i];
      continue;
    }
    const char next = i + 1 < field.size() ? field[++i] : '\0';
    switch (next) {
      case 't':
        plain += '\t';
        break;
      case 'n':
        plain += '\n';
        break;
      case 'r':
        plain += '\r';
        break;
      case '\\':
        plain += '\\';
        break;
      default:
        throw Error::input("a backslash stands before no t, n, r or backslash", where,
                           R"(write a backslash itself as \\)");
    }
  }
  return plain;
}

std::string line_of_file(const std::filesystem::path& file, int64_t line) {
  return file.string() + " line " + std::to_string(line);
}

EntityWriter::EntityWriter(const std::filesystem::path& folder)
    : folder_(folder),
      entities_table_(folder / kEntitiesTable),
      aliases_table_(folder / kAliasesTable) {
  entities_table_.write("id\tname\ttype\tpopularity\tdescription\n");
  aliases_table_.write("alias\tid\tprior\n");
}

void EntityWriter::add(const Entity& entity, const std::vector<EntityAlias>& aliases,
                       const std::string& where) {
  const std::string id(trimmed(entity.id)), name(trimmed(entity.name));
  if (id.empty()) throw Error::input("an entity has no id", where);
  if (name.empty()) throw Error::input("entity '" + id + "' has no name", where);
  if (!std::isfinite(entity.popularity) || entity.popularity < 0)
    throw Error::input("the popularity of '" + id + "' is no number of at least 0", where);
  if (!ids_.insert(id).second)
    throw Error::input("id '" + id + "' is there twice", where, "remove one of the lines");
  for (const std::string* text : {&id, &name, &entity.type, &entity.description})
    require_utf8(*text, where);
  std::set<std::string> seen;
  std::string lines;
  for (const auto& alias : aliases) {
    const std::string text(trimmed(alias.text));
    require_utf8(text, where);
    if (alias.prior && !(*alias.prior >= 0 && *alias.prior <= 1))
      throw Error::input("the prior of alias '" + text + "' is not from 0 to 1", where);
    if (text.empty() || !seen.insert(text).second) continue;
    lines += escape_field(text) + '\t' + escape_field(id) + '\t' +
             (alias.prior ? fmt::format("{:.6g}", *alias.prior) : "") + '\n';
  }
  if (seen.empty())
    throw Error::input("entity '" + id + "' has no alias", where,
                       "nothing could ever be linked to it: add an alias line, or remove it");
  entities_table_.write(fmt::format("{}\t{}\t{}\t{:.6g}\t{}\n", escape_field(id),
                                    escape_field(name), escape_field(trimmed(entity.type)),
                                    entity.popularity, escape_field(trimmed(entity.description))));
  aliases_table_.write(lines);
  ++entities_;
  aliases_ += static_cast<int64_t>(seen.size());
}

void EntityWriter::finish(const Json& about) {
  if (entities_ == 0)
    throw Error::input("there is no entity in it", json_string(about, "source", "", ""));
  entities_table_.file.commit();
  aliases_table_.file.commit();
  Json json = {
      {"format_version", kEntitiesVersion}, {"entities", entities_}, {"aliases", aliases_}};
  json.update(about);
  json["sha256"] = {{kEntitiesTable, entities_table_.hash.hex()},
                    {kAliasesTable, aliases_table_.hash.hex()}};
  write_file(folder_ / kEntitiesAbout, dump_json(json, 2) + '\n');
}

}  // namespace opencloc
