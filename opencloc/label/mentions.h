// Mentions of entities in texts: the longest alias at each place, inside noun phrases. Without the
// phrases a list like WordNet's finds "a", "in" and "are" everywhere.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/label/alias_table.h"
#include "opencloc/label/phrases.h"
#include "opencloc/label/stage.h"

namespace opencloc {

inline constexpr const char* kMentionsKey = "entity_mentions";
inline constexpr const char* kEntitiesKey = "entities";

// What the link stage took a mention for: ids by the evidence used, "prior", "context" (with the
// other mentions and what the data is about), "image" (with the picture too).
using MentionChoices = std::map<std::string, std::string>;

struct Mention {
  std::string text;           // as written
  size_t begin = 0, end = 0;  // characters (code points) of the text
  MentionChoices choices = {};
};

// Of the record; empty when there are none. Throws BadSample when it holds something else.
std::vector<Mention> stored_mentions(const LabelSample& sample);
std::vector<Mention> stored_mentions(const Record& record, std::string_view where);
void store_mentions(LabelSample& sample, const std::vector<Mention>& mentions);

struct MentionCounts {
  int64_t texts = 0;
  int64_t without_mention = 0;
  int64_t mentions = 0;
  int64_t ambiguous = 0;  // with several candidates
  int64_t web_words = 0;  // known ones that name nothing in a picture, left out
  Json json() const;
};

// Thread-safe.
class MentionFinder {
 public:
  // Throws Error (input) without Link Grammar's dictionary.
  explicit MentionFinder(std::shared_ptr<const AliasTable> table, TaggerOptions tagger = {});
  // In the order of the text, not overlapping. A mention begins in a noun phrase, ends with a noun
  // of one, and may reach over an "of" between two ("bird of paradise").
  std::vector<Mention> find(std::string_view text, MentionCounts& counts) const;

 private:
  const std::shared_ptr<const AliasTable> table_;
  const TaggerOptions tagger_;
  LinkGrammar grammar_;
};

// Which of a record's texts mentions are looked for in.
enum class MentionText {
  kChosen,  // as the caption stage chose, else the caption, else the alt-text
  kAltText,
  kCaption
};

struct MentionStageOptions {
  MentionText text = MentionText::kChosen;
  int threads = 1;
  TaggerOptions tagger = {};
};
// The text -> "entity_mentions".
std::unique_ptr<Stage> mention_stage(std::shared_ptr<const AliasTable> table,
                                     const MentionStageOptions& options);

}  // namespace opencloc
