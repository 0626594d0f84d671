// Names that are not in a picture.
#include <algorithm>

#include "opencloc/dialogue/questions.h"
#include "opencloc/dialogue/words.h"

namespace opencloc {
namespace {

constexpr size_t kMostFrequent = 10;  // of which "frequent" draws
constexpr size_t kMostTogether = 5;   // of which "together" draws
constexpr int kDraws = 200;           // of "random", before the picture is taken to hold all names

bool is_absent(const LabelledPicture& scene, const std::vector<std::string>& stems) {
  if (stems.empty()) return false;
  for (const auto& text : scene.stems)
    if (has_all_words(text, stems)) return false;
  return std::ranges::none_of(scene.things, [&stems](const Thing& thing) {
    return has_all_words(stems, thing.name_stems);
  });
}

std::optional<size_t> one_of(const std::vector<size_t>& names, Rng& rng) {
  if (names.empty()) return std::nullopt;
  return names[rng.below(names.size())];
}

std::optional<size_t> random_name(const LabelledPicture& scene, const Vocabulary& vocabulary,
                                  Rng& rng) {
  for (int draw = 0; draw < kDraws && vocabulary.size() > 0; ++draw) {
    const size_t name = rng.below(vocabulary.size());
    if (is_absent(scene, vocabulary.stems(name))) return name;
  }
  return std::nullopt;
}

std::optional<size_t> frequent_name(const LabelledPicture& scene, const Vocabulary& vocabulary,
                                    Rng& rng) {
  std::vector<size_t> found;
  for (size_t name = 0; name < vocabulary.size() && found.size() < kMostFrequent; ++name)
    if (is_absent(scene, vocabulary.stems(name))) found.push_back(name);
  return one_of(found, rng);
}

std::optional<size_t> related_name(const LabelledPicture& scene, const Vocabulary& vocabulary,
                                   Rng& rng) {
  std::map<size_t, int64_t> together;
  std::vector<size_t> of_group;
  for (const Thing& thing : scene.things) {
    const int64_t name = vocabulary.find(thing.name);
    if (name < 0) continue;
    for (const size_t other : vocabulary.group(static_cast<size_t>(name)))
      if (is_absent(scene, vocabulary.stems(other))) of_group.push_back(other);
    for (const auto& [other, count] : vocabulary.together(static_cast<size_t>(name)))
      if (is_absent(scene, vocabulary.stems(other))) together[other] += count;
  }
  if (!of_group.empty()) return one_of(of_group, rng);
  std::vector<std::pair<int64_t, size_t>> order;
  for (const auto& [other, count] : together) order.emplace_back(-count, other);
  std::ranges::sort(order);
  std::vector<size_t> found;
  for (size_t i = 0; i < std::min(order.size(), kMostTogether); ++i)
    found.push_back(order[i].second);
  return one_of(found, rng);
}

}  // namespace

bool has_all_words(const std::vector<std::string>& whole, const std::vector<std::string>& part) {
  return !part.empty() && std::ranges::all_of(part, [&whole](const std::string& word) {
    return std::ranges::find(whole, word) != whole.end();
  });
}

std::optional<std::string> absent_name(const LabelledPicture& scene, const Vocabulary& vocabulary,
                                       std::string& kind, Rng& rng) {
  std::optional<size_t> name;
  if (kind == "frequent") name = frequent_name(scene, vocabulary, rng);
  if (kind == "together") name = related_name(scene, vocabulary, rng);
  if (!name) {
    kind = "random";
    name = random_name(scene, vocabulary, rng);
  }
  if (!name) return std::nullopt;
  return vocabulary.names()[*name];
}

}  // namespace opencloc
