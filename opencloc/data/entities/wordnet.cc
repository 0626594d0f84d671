// WordNet 3's noun files (man wndb): data.noun has a line a synset, index.noun a line a lemma.
#include <array>
#include <charconv>
#include <cmath>

#include "opencloc/base/error.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/entities/entity_base.h"
#include "opencloc/data/entities/sources.h"
#include "opencloc/text/clean_text.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

// By lexicographer file (man lexnames).
constexpr auto kNounTypes = std::to_array<const char*>(
    {"noun.Tops",     "noun.act",        "noun.animal",        "noun.artifact",   "noun.attribute",
     "noun.body",     "noun.cognition",  "noun.communication", "noun.event",      "noun.feeling",
     "noun.food",     "noun.group",      "noun.location",      "noun.motive",     "noun.object",
     "noun.person",   "noun.phenomenon", "noun.plant",         "noun.possession", "noun.process",
     "noun.quantity", "noun.relation",   "noun.shape",         "noun.state",      "noun.substance",
     "noun.time"});
constexpr int kFirstNounFile = 3;

std::vector<std::string_view> blank_parts(std::string_view line) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at < line.size();) {
    const size_t end = std::min(line.find(' ', at), line.size());
    if (end > at) parts.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

int whole_number(std::string_view text, int base, const std::string& where) {
  int value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (read.ec == std::errc() && read.ptr == text.data() + text.size() && value >= 0) return value;
  throw Error::input("'" + std::string(text) + "' is no number", where,
                     "give WordNet's own files, of the package wordnet-base");
}

std::string_view part(const std::vector<std::string_view>& parts, size_t i,
                      const std::string& where) {
  if (i < parts.size()) return parts[i];
  throw Error::input("the line is too short", where,
                     "give WordNet's own files, of the package wordnet-base");
}

std::string with_blanks(std::string_view lemma) {
  std::string text(lemma);
  for (char& c : text) c = c == '_' ? ' ' : c;
  return text;
}

// The lines of a file that begin no licence text (two blanks).
template <typename Visit>
void for_each_wordnet_line(const fs::path& path, const Visit& visit) {
  const std::string text = read_text(path);
  for_each_text_line(text, [&](std::string_view line, int64_t number) {
    if (!line.empty() && !line.starts_with("  ")) visit(line, line_of_file(path, number));
  });
}

Synset parse_synset(std::string_view line, const std::string& where) {
  const size_t bar = line.find('|');
  const auto parts = blank_parts(line.substr(0, bar));
  Synset synset;
  synset.where = where;
  synset.offset = std::string(part(parts, 0, where));
  if (synset.offset.size() != 8 ||
      synset.offset.find_first_not_of("0123456789") != std::string::npos)
    throw Error::input("the line begins with no offset of eight digits", where,
                       "give WordNet's own files, of the package wordnet-base");
  const int file = whole_number(part(parts, 1, where), 10, where) - kFirstNounFile;
  if (part(parts, 2, where) != "n" || file < 0 || file >= static_cast<int>(kNounTypes.size()))
    throw Error::input("the line is of no noun", where, "give the folder with data.noun");
  synset.type = kNounTypes[static_cast<size_t>(file)];
  const int words = whole_number(part(parts, 3, where), 16, where);
  for (int i = 0; i < words; ++i)
    synset.words.push_back(with_blanks(part(parts, 4 + 2 * static_cast<size_t>(i), where)));
  if (synset.words.empty()) throw Error::input("the synset has no word", where);
  if (bar != line.npos) synset.gloss = std::string(trimmed(line.substr(bar + 1)));
  return synset;
}

// "mouse%1:05:00:: 1 13": how often sense 1 was found.
std::unordered_map<std::string, int64_t> sense_counts(const fs::path& path) {
  std::unordered_map<std::string, int64_t> counts;
  if (!fs::exists(path)) return counts;
  for_each_wordnet_line(path, [&](std::string_view line, const std::string& where) {
    const auto parts = blank_parts(line);
    const std::string_view key = part(parts, 0, where);
    const size_t percent = key.find('%');
    if (percent == key.npos || key.substr(percent, 2) != "%1") return;
    counts[with_blanks(key.substr(0, percent)) + '\n' + std::string(part(parts, 1, where))] =
        whole_number(part(parts, 2, where), 10, where);
  });
  return counts;
}

}  // namespace

WordNetNouns read_wordnet_nouns(const fs::path& folder) {
  for (const char* file : {"data.noun", "index.noun"}) {
    if (!fs::exists(folder / file))
      throw Error::input(std::string("WordNet's ") + file + " is not there", folder.string(),
                         "install the package wordnet-base, and give /usr/share/wordnet");
  }
  WordNetNouns nouns;
  for_each_wordnet_line(folder / "data.noun", [&](std::string_view line, const std::string& where) {
    Synset synset = parse_synset(line, where);
    if (!nouns.by_offset.emplace(synset.offset, nouns.synsets.size()).second)
      throw Error::input("id '" + synset.offset + "' is there twice", where);
    nouns.synsets.push_back(std::move(synset));
  });
  const auto counts = sense_counts(folder / "cntlist.rev");
  for_each_wordnet_line(
      folder / "index.noun", [&](std::string_view line, const std::string& where) {
        // lemma n senses pointers [pointer...] senses tagged offset...
        const auto parts = blank_parts(line);
        const std::string lemma = with_blanks(part(parts, 0, where));
        const auto senses = static_cast<size_t>(whole_number(part(parts, 2, where), 10, where));
        if (senses == 0 || parts.size() < senses + 6)
          throw Error::input("the line is too short", where,
                             "give WordNet's own files, of the package wordnet-base");
        auto& list = nouns.senses[lemma];
        for (size_t i = 0; i < senses; ++i) {
          const std::string offset(parts[parts.size() - senses + i]);
          const auto found = nouns.by_offset.find(offset);
          if (found == nouns.by_offset.end())
            throw Error::input("there is no synset " + offset + " in data.noun", where,
                               "give both files of one WordNet");
          const auto count = counts.find(lemma + '\n' + std::to_string(i + 1));
          list.push_back({found->second, count == counts.end() ? 0 : count->second});
        }
      });
  if (fs::exists(folder / "noun.exc")) {
    for_each_wordnet_line(folder / "noun.exc",
                          [&](std::string_view line, const std::string& where) {
                            const auto parts = blank_parts(line);
                            nouns.plurals.emplace_back(with_blanks(part(parts, 0, where)),
                                                       with_blanks(part(parts, 1, where)));
                          });
  }
  return nouns;
}

// P(sense | lemma) from the counts in tagged texts, of which most lemmas have none: sense number r
// counts 1 / r more, which keeps WordNet's order.
void read_wordnet_entities(const EntitySink& sink) {
  const WordNetNouns nouns = read_wordnet_nouns(sink.options.source);
  std::vector<std::vector<EntityAlias>> aliases(nouns.synsets.size());
  std::vector<double> popularity(nouns.synsets.size(), 0);
  // As the synset writes it: index.noun is in lower case.
  const auto spelling = [](const Synset& synset, const std::string& lemma) {
    for (const auto& word : synset.words) {
      if (lower_case(word) == lemma) return word;
    }
    return lemma;
  };
  const auto priors = [](const std::vector<WordNetNouns::Sense>& senses) {
    std::vector<double> shares;
    double sum = 0;
    for (size_t r = 0; r < senses.size(); ++r) {
      shares.push_back(static_cast<double>(senses[r].count) + 1 / static_cast<double>(r + 1));
      sum += shares.back();
    }
    for (double& share : shares) share /= sum;
    return shares;
  };
  for (const auto& [lemma, senses] : nouns.senses) {
    const auto shares = priors(senses);
    for (size_t r = 0; r < senses.size(); ++r) {
      const size_t i = senses[r].synset;
      aliases[i].push_back({spelling(nouns.synsets[i], lemma), shares[r]});
      popularity[i] += static_cast<double>(senses[r].count);
    }
  }
  for (const auto& [plural, lemma] : nouns.plurals) {
    const auto found = nouns.senses.find(lemma);
    if (found == nouns.senses.end() || nouns.senses.contains(plural)) continue;
    const auto shares = priors(found->second);
    for (size_t r = 0; r < shares.size(); ++r)
      aliases[found->second[r].synset].push_back({plural, shares[r]});
  }
  for (size_t i = 0; i < nouns.synsets.size(); ++i) {
    const Synset& synset = nouns.synsets[i];
    auto& mine = aliases[i];  // the map's order is nobody's
    std::ranges::sort(mine, {}, &EntityAlias::text);
    sink.add({synset.offset, synset.words.front(), synset.type, popularity[i], synset.gloss}, mine,
             synset.where);
  }
}

}  // namespace opencloc
