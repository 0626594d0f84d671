// How well mentions were found and linked, by stage, where the truth is known.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/label/alias_table.h"

namespace opencloc {

// The truth of a record, under a key of its own:
//   "n02364673"   the picture's one entity (WordNet's "n" in front of an offset does not count)
//   [{"span": [begin, end], "id", "visible"}]   the mentions of its alt-text, as scenes have them
// A stage's answer is right when it is that entity and, where mentions are known, stands on that
// span; for "kept" it must also be visible.
struct LinkFigures {
  int64_t answers = 0, right = 0, wanted = 0;
  int64_t found = 0;  // of what is wanted; a picture's one entity that is named twice counts once
  int64_t ambiguous = 0, ambiguous_right = 0;  // answers for mentions with several candidates
  double precision() const;
  double recall() const;
  Json json() const;
};

struct LinkEvaluation {
  int64_t pictures = 0;  // with truth
  int64_t without_truth = 0;
  LinkFigures mentions;  // right: the entity is among the candidates (and the span fits)
  std::map<std::string, LinkFigures> linked;  // "prior", "context", "image": all their choices
  // What is kept, against the true mentions of what can be seen; and, for comparison, the choices
  // before the selection measured the same way.
  LinkFigures before_selection, kept;
  Json json() const;
  std::string table() const;
};

struct LinkEvaluationOptions {
  std::string key;  // of the truth in the records
  ShardOptions shards = {};
  std::function<void()> progress = {};
};

// `shards`: as the link stage wrote them. Error (input) when no record has the key.
LinkEvaluation evaluate_links(const std::vector<std::string>& shards, const AliasTable& table,
                              const LinkEvaluationOptions& options, SkipCounter& skips);

}  // namespace opencloc
