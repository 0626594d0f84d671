#include "opencloc/label/alias_table.h"

#include <algorithm>
#include <map>

#include "opencloc/label/word_lists.h"
#include "opencloc/text/clean_text.h"

namespace opencloc {
namespace {

constexpr double kLoweredName = 0.25;  // the text is in lower case, the alias is not
constexpr double kRaisedNoun = 0.5;    // the other way round, or both have capitals elsewhere

std::string with_single_blanks(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '-' || (c >= '\t' && c <= '\r');
    if (!blank)
      plain += c;
    else if (!plain.empty() && plain.back() != ' ')
      plain += ' ';
  }
  while (plain.ends_with(' ')) plain.pop_back();
  return plain;
}

std::string lowered(std::string_view text) {
  if (!is_ascii(text)) return lower_case(text);
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

double case_factor(std::string_view alias, const std::string& mention) {
  const std::string plain = with_single_blanks(alias);
  if (plain == mention) return 1;
  return lowered(mention) == mention ? kLoweredName : kRaisedNoun;
}

}  // namespace

std::string folded_alias(std::string_view text) { return lowered(with_single_blanks(text)); }

AliasTable::AliasTable(std::shared_ptr<const EntityBase> base) : base_(std::move(base)) {
  const auto aliases = base_->aliases();
  struct Place {
    size_t begin, size;
  };
  std::vector<Place> places;
  places.reserve(aliases.size());
  for (const auto& alias : aliases) {
    const std::string key = folded_alias(alias.text);
    places.push_back({keys_.size(), key.size()});
    keys_ += key;
    longest_ = std::max(longest_,
                        static_cast<size_t>(std::count(key.begin(), key.end(), ' ')) + size_t{1});
  }
  entries_.reserve(aliases.size());
  for (size_t i = 0; i < places.size(); ++i) {
    entries_.push_back({std::string_view(keys_).substr(places[i].begin, places[i].size),
                        static_cast<uint32_t>(i)});
  }
  std::ranges::stable_sort(entries_, {}, &Entry::key);
}

AliasTable::Entries AliasTable::with_key(std::string_view key) const {
  return {std::ranges::lower_bound(entries_, key, {}, &Entry::key),
          std::ranges::upper_bound(entries_, key, {}, &Entry::key)};
}

std::pair<std::string, AliasTable::Entries> AliasTable::matches(std::string_view mention) const {
  std::string text = with_single_blanks(mention);
  if (text.empty()) return {};
  if (const auto found = with_key(lowered(text)); !found.empty()) return {std::move(text), found};
  const std::string lower = lowered(text);
  const size_t blank = lower.rfind(' ');
  const std::string_view last =
      std::string_view(lower).substr(blank == std::string::npos ? 0 : blank + 1);
  const size_t cut = last.size() - words::singular(last).size();
  if (cut == 0 || lower.size() != text.size()) return {std::move(text), {}};
  if (last.ends_with("ies") && last.size() > 4) {
    const std::string singular = text.substr(0, text.size() - 3) + 'y';
    if (const auto found = with_key(lowered(singular)); !found.empty()) return {singular, found};
  }
  text.resize(text.size() - cut);
  return {text, with_key(lowered(text))};
}

std::vector<EntityCandidate> AliasTable::candidates(std::string_view mention) const {
  const auto [text, found] = matches(mention);
  std::map<int64_t, double> weights;
  double sum = 0;
  for (const Entry& entry : found) {
    const auto& alias = base_->aliases()[entry.alias];
    const double weight = alias.prior * case_factor(alias.text, text);
    weights[alias.entity] += weight;
    sum += weight;
  }
  std::vector<EntityCandidate> candidates;
  for (const auto& [entity, weight] : weights)
    candidates.push_back(
        {entity, sum > 0 ? weight / sum : 1 / static_cast<double>(weights.size())});
  std::ranges::stable_sort(candidates, std::ranges::greater(), &EntityCandidate::prior);
  return candidates;
}

}  // namespace opencloc
