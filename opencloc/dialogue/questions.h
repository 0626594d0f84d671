// One question of each task about one picture. Used by maker.cc.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/dialogue/dialogue.h"
#include "opencloc/dialogue/vocabulary.h"

namespace opencloc {

// A region that can be asked about.
struct Thing {
  Box box;
  std::string name;    // "apple"
  std::string phrase;  // "large reddish apple"
  std::vector<std::string> name_stems, phrase_stems;
};

// What is known of a picture.
struct LabelledPicture {
  std::vector<Thing> things;
  std::string caption;                          // may be empty
  std::vector<std::vector<std::string>> stems;  // of every text of the record
};

// The values of a template's slots, and the rest of the dialogue.
struct Question {
  std::map<std::string, std::string> slots;
  std::string say;
  std::vector<Box> boxes;
  std::vector<PicturePoint> points;
  Json extra = Json::object();
};

struct QuestionContext {
  const Vocabulary& vocabulary;
  bool truth_first = false;      // the true one of two that are offered
  bool is_there = false;         // of "exists"
  std::string_view absent_kind;  // "random", "frequent", "together"
};

// Ways to draw a name that is not in the picture, for "exists": any name; one of the most frequent
// ten; one that often shares pictures with those that are there, or is of the same group. POPE's
// random, popular and adversarial.
inline constexpr std::string_view kAbsentKinds[] = {"random", "frequent", "together"};

// A question of `task`, or none when the picture gives none. Everything is drawn from `rng`.
std::optional<Question> make_question(std::string_view task, const LabelledPicture& scene,
                                      const QuestionContext& context, Rng& rng);

// Whether every word of `part` is among those of `whole`.
bool has_all_words(const std::vector<std::string>& whole, const std::vector<std::string>& part);

// Indices of the things whose phrase fits no other thing of the picture, and has none of the signs
// that end a phrase in an answer.
std::vector<size_t> told_apart(const LabelledPicture& scene);

// A name of the vocabulary that is not in the picture: neither it nor a longer or shorter form of
// it
// ("bus", "red bus") stands in any text of the record. Of `kind`, else "random"; `kind` is set to
// what it became. None when no name is absent.
std::optional<std::string> absent_name(const LabelledPicture& scene, const Vocabulary& vocabulary,
                                       std::string& kind, Rng& rng);

}  // namespace opencloc
