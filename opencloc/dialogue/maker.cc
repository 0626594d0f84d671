#include "opencloc/dialogue/maker.h"

#include <algorithm>
#include <utility>

#include "opencloc/base/text_file.h"
#include "opencloc/dialogue/questions.h"
#include "opencloc/dialogue/words.h"

namespace opencloc {
namespace {

constexpr int kAttempts = 3;  // to find a question of a task that was not asked of this picture yet

// A name or a phrase that can stand in a question: brackets and line ends would be read as boxes
// and turns.
bool is_fit(std::string_view text) {
  return !holds_marks(text) && text.find_first_of("[]<>\n\r\t") == std::string_view::npos;
}

LabelledPicture look_at(const Record& record, float min_score, std::string_view where,
                        SkipCounter& skips) {
  LabelledPicture scene;
  const auto read = [&scene](std::string_view text) {
    if (!text.empty()) scene.stems.push_back(stems_of(text));
  };
  read(record.caption);
  read(record.alt_text);
  for (const std::string& caption : record.captions) read(caption);
  if (record.label) read(*record.label);
  for (const Region& region : record.regions) {
    Thing thing{region.box, region_name(region), region_phrase(region), {}, {}};
    read(region.text);
    read(thing.name);
    read(thing.phrase);
    if (region.score < min_score || thing.name.empty()) continue;
    if (!is_fit(thing.name) || !is_fit(thing.phrase)) {
      skips.add(skip::kReserved, where, "'" + region.text + "'");
      continue;
    }
    thing.name_stems = stems_of(thing.name);
    thing.phrase_stems = stems_of(thing.phrase);
    scene.things.push_back(std::move(thing));
  }
  const std::string_view caption =
      record.caption.empty() && !record.captions.empty() ? record.captions.front() : record.caption;
  if (holds_marks(caption)) {
    skips.add(skip::kReserved, where, "the caption");
  } else {
    scene.caption = trimmed(caption);
  }
  return scene;
}

// By the weights; they are not all 0.
std::string draw_task(const std::map<std::string, double>& weights, Rng& rng) {
  double sum = 0;
  for (const auto& [task, weight] : weights) sum += weight;
  double left = rng.uniform(0, sum);
  for (const auto& [task, weight] : weights) {
    if ((left -= weight) < 0) return task;
  }
  return weights.rbegin()->first;
}

bool offers_two(const std::string& task) {
  return task == "refer" || task == "point" || task == "relation";
}

}  // namespace

std::map<std::string, double> MakerOptions::default_mix() {
  return {{"refer", 20},  {"name", 10}, {"point", 10},   {"ground", 20}, {"ground_many", 10},
          {"exists", 10}, {"count", 8}, {"relation", 7}, {"caption", 5}};
}

DialogueMaker::DialogueMaker(const Vocabulary& vocabulary, const Templates& templates,
                             MakerOptions options)
    : vocabulary_(vocabulary), templates_(templates), options_(std::move(options)) {}

std::vector<Dialogue> DialogueMaker::make(const Record& record, uint64_t place,
                                          std::string_view name, SkipCounter& skips) {
  const LabelledPicture scene = look_at(record, options_.min_score, name, skips);
  std::map<std::string, double> weights = options_.mix;
  std::erase_if(weights, [](const auto& entry) { return entry.second <= 0; });
  std::map<std::string, int> failures;
  std::vector<Dialogue> dialogues;
  for (uint64_t draw = 0;
       dialogues.size() < static_cast<size_t>(std::max(0, options_.per_picture)) &&
       !weights.empty();
       ++draw) {
    Rng rng(options_.seed, {place, draw});
    const std::string task = draw_task(weights, rng);
    // Pairs of yes and no, in an order of their own, so that the order tells nothing.
    const auto pair = static_cast<uint64_t>(existence_ / 2);
    constexpr uint64_t kOfPairs = 0x70616972;  // a stream beside those of the places
    const bool no_first = Rng(options_.seed, {kOfPairs, pair, 0}).chance(0.5);
    const QuestionContext context{
        vocabulary_,
        options_.order == OfferOrder::kAlternating ? choices_ % 2 == 0 : rng.chance(0.5),
        (existence_ % 2 == 0) != no_first, kAbsentKinds[pair % std::size(kAbsentKinds)]};
    const std::optional<Question> question = make_question(task, scene, context, rng);
    if (!question) {
      weights.erase(task);
      continue;
    }
    const auto& wordings = templates_.wordings(task);
    const std::string& wording = wordings[rng.below(wordings.size())];
    Dialogue dialogue{task,
                      {{fill_slots(wording, question->slots), question->say}},
                      question->boxes,
                      question->points,
                      question->extra};
    const bool again = std::ranges::any_of(dialogues, [&dialogue](const Dialogue& other) {
      if (other.task != dialogue.task) return false;
      return dialogue.boxes.empty() ? other.turns[0].ask == dialogue.turns[0].ask
                                    : other.boxes == dialogue.boxes;
    });
    if (again) {
      if (++failures[task] >= kAttempts) weights.erase(task);
      continue;
    }
    choices_ += offers_two(task) ? 1 : 0;
    existence_ += task == "exists" ? 1 : 0;
    ++counts_[task];
    if (task == "exists") ++counts_[question->say == "Yes" ? "exists: yes" : "exists: no"];
    dialogues.push_back(std::move(dialogue));
  }
  return dialogues;
}

}  // namespace opencloc
