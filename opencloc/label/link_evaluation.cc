#include "opencloc/label/link_evaluation.h"

#include <algorithm>
#include <optional>
#include <set>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/label/mentions.h"

namespace opencloc {
namespace {

struct TrueMention {
  size_t begin = 0, end = 0;
  std::string id;
  bool visible = true;
};

struct Truth {
  bool of_picture = false;  // one entity, wherever it is mentioned
  std::vector<TrueMention> mentions;
};

// The base's id: WordNet's offsets are written with an n in front by ImageNet.
std::string plain_id(const std::string& id, const EntityBase& base) {
  const bool offset =
      id.size() == 9 && id[0] == 'n' && id.find_first_not_of("0123456789", 1) == std::string::npos;
  return offset && !base.row_of(id) ? id.substr(1) : id;
}

std::optional<std::pair<size_t, size_t>> span_of(const Json& item) {
  const bool fits = item.is_object() && item.contains("span") && item["span"].is_array() &&
                    item["span"].size() == 2 && item["span"][0].is_number_unsigned() &&
                    item["span"][1].is_number_unsigned();
  if (!fits) return std::nullopt;
  return std::pair(item["span"][0].get<size_t>(), item["span"][1].get<size_t>());
}

std::optional<Truth> truth_of(const Record& record, const std::string& key,
                              const std::string& where, const EntityBase& base) {
  const auto found = record.extra.find(key);
  if (found == record.extra.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return Truth{true, {{0, 0, plain_id(found->get<std::string>(), base)}}};
  Truth truth;
  const auto wrong = [&] {
    return BadSample(skip::kBadJson, "'" + key + "' is neither an id nor a list of true mentions",
                     where);
  };
  if (!found->is_array()) throw wrong();
  for (const Json& item : *found) {
    const auto span = span_of(item);
    if (!span || !item.contains("id") || !item["id"].is_string()) throw wrong();
    truth.mentions.push_back({span->first, span->second,
                              plain_id(item["id"].get<std::string>(), base),
                              !item.contains("visible") || item["visible"] == true});
  }
  return truth;
}

class LinkJudge {
 public:
  LinkJudge(const AliasTable& table, LinkEvaluation& result) : table_(table), result_(result) {}

  void judge(const Truth& truth, const std::vector<Mention>& mentions, const Json& entities) {
    ++result_.pictures;
    found_.clear();
    const auto all = static_cast<int64_t>(truth.mentions.size());
    const auto seen =
        static_cast<int64_t>(std::ranges::count(truth.mentions, true, &TrueMention::visible));
    result_.mentions.wanted += all;
    wanted_ += all;
    for (const Mention& mention : mentions) {
      const auto candidates = table_.candidates(mention.text);
      const bool ambiguous = candidates.size() > 1;
      const bool among = std::ranges::any_of(candidates, [&](const EntityCandidate& one) {
        return is_true(truth, mention.begin, mention.end, table_.base()[one.entity].id, false);
      });
      add(result_.mentions, among, ambiguous, truth.of_picture);
      std::string last;
      for (const char* stage : {"prior", "context", "image"}) {
        const auto choice = mention.choices.find(stage);
        if (choice == mention.choices.end()) continue;
        last = choice->second;
        add(result_.linked[stage], is_true(truth, mention.begin, mention.end, last, false),
            ambiguous, truth.of_picture);
      }
      if (!last.empty())
        add(result_.before_selection, is_true(truth, mention.begin, mention.end, last, true),
            ambiguous, truth.of_picture);
    }
    result_.before_selection.wanted += seen;
    result_.kept.wanted += seen;
    if (!entities.is_array()) return;
    for (const Json& one : entities) {
      const auto text = [&](const char* key) {
        return one.is_object() && one.contains(key) && one[key].is_string()
                   ? one[key].get<std::string>()
                   : std::string();
      };
      const auto span = span_of(one);
      if (!span) continue;
      add(result_.kept, is_true(truth, span->first, span->second, text("id"), true),
          table_.candidates(text("mention")).size() > 1, truth.of_picture);
    }
  }

  void finish() {
    for (auto& [stage, figures] : result_.linked) figures.wanted = wanted_;
  }

 private:
  static bool is_true(const Truth& truth, size_t begin, size_t end, std::string_view id,
                      bool visible_only) {
    return std::ranges::any_of(truth.mentions, [&](const TrueMention& one) {
      return one.id == id && (one.visible || !visible_only) &&
             (truth.of_picture || (one.begin == begin && one.end == end));
    });
  }
  void add(LinkFigures& figures, bool right, bool ambiguous, bool of_picture) {
    ++figures.answers;
    figures.right += right;
    // Mentions have spans of their own; the picture's entity is found once, however often named.
    if (right && (!of_picture || found_.insert(&figures).second)) ++figures.found;
    figures.ambiguous += ambiguous;
    figures.ambiguous_right += ambiguous && right;
  }

  const AliasTable& table_;
  LinkEvaluation& result_;
  int64_t wanted_ = 0;
  std::set<const LinkFigures*> found_;  // of the picture at hand
};

double share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

}  // namespace

double LinkFigures::precision() const { return share(right, answers); }
double LinkFigures::recall() const { return share(found, wanted); }

Json LinkFigures::json() const {
  return {{"answers", answers},       {"right", right},
          {"wanted", wanted},         {"found", found},
          {"precision", precision()}, {"recall", recall()},
          {"ambiguous", ambiguous},   {"ambiguous_precision", share(ambiguous_right, ambiguous)}};
}

Json LinkEvaluation::json() const {
  Json json = {
      {"pictures", pictures}, {"without_truth", without_truth}, {"mentions", mentions.json()}};
  for (const char* stage : {"prior", "context", "image"}) {
    if (const auto found = linked.find(stage); found != linked.end())
      json[stage] = found->second.json();
  }
  json["before_selection"] = before_selection.json();
  json["kept"] = kept.json();
  return json;
}

std::string LinkEvaluation::table() const {
  std::string text = fmt::format("{:<18}{:>9}{:>11}{:>9}{:>12}{:>13}\n", "stage", "answers",
                                 "precision", "recall", "ambiguous", "precision");
  const auto row = [&](const std::string& name, const LinkFigures& figures) {
    text += fmt::format("{:<18}{:>9}{:>10.1f}%{:>8.1f}%{:>12}{:>12.1f}%\n", name, figures.answers,
                        100 * figures.precision(), 100 * figures.recall(), figures.ambiguous,
                        100 * share(figures.ambiguous_right, figures.ambiguous));
  };
  row("mentions", mentions);
  for (const char* stage : {"prior", "context", "image"}) {
    if (const auto found = linked.find(stage); found != linked.end()) row(stage, found->second);
  }
  row("before selection", before_selection);
  row("kept", kept);
  return text;
}

LinkEvaluation evaluate_links(const std::vector<std::string>& shards, const AliasTable& table,
                              const LinkEvaluationOptions& options, SkipCounter& skips) {
  LinkEvaluation result;
  LinkJudge judge(table, result);
  for (const auto& shard : shards) {
    ShardReader reader(shard, skips, options.shards);
    Record record;
    while (reader.next(record)) {
      if (options.progress) options.progress();
      try {
        const auto truth = truth_of(record, options.key, reader.name(), table.base());
        if (!truth) {
          ++result.without_truth;
          continue;
        }
        const auto entities = record.extra.find(kEntitiesKey);
        judge.judge(*truth, stored_mentions(record, reader.name()),
                    entities == record.extra.end() ? Json() : *entities);
      } catch (const BadSample& bad) {
        skips.add(bad);
      }
    }
  }
  judge.finish();
  if (result.pictures == 0)
    throw Error::input("no record has a key '" + options.key + "'", "setting 'against'",
                       "name the key of the truth, such as wnid or mentions");
  return result;
}

}  // namespace opencloc
