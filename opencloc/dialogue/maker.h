// From a labelled picture to questions and answers about it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "opencloc/dialogue/dialogue.h"
#include "opencloc/dialogue/templates.h"
#include "opencloc/dialogue/vocabulary.h"

namespace opencloc {

// In which order a question offers two things.
enum class OfferOrder {
  kRandom,       // for training
  kAlternating,  // by turns, as Ferret's LVIS test does by the parity of the row
};

struct MakerOptions {
  // Task -> weight; a task that is not in it is not asked.
  std::map<std::string, double> mix = default_mix();
  int per_picture = 4;  // questions at most
  float min_score = 0;  // regions below it do not exist for the questions
  OfferOrder order = OfferOrder::kRandom;
  uint64_t seed = 0;

  static std::map<std::string, double> default_mix();
};

// Makes dialogues of one turn each. Nothing that answers a question stands in it, apart from the
// two things that a choice offers. Records are given in a fixed order: existence alternates between
// there and not there over the whole data, so that "yes" is right for half (and for half of each
// kind of absent name). Not thread-safe.
class DialogueMaker {
 public:
  DialogueMaker(const Vocabulary& vocabulary, const Templates& templates, MakerOptions options);

  // Dialogues of the record, which is number `place` of the data. What cannot be asked about is
  // left out: regions without a text, texts with marks in them (holds_marks(); counted as
  // skip::kReserved under `name`), and whatever would have two right answers: a phrase that fits
  // two regions, a count of boxes that lie on one another.
  std::vector<Dialogue> make(const Record& record, uint64_t place, std::string_view name,
                             SkipCounter& skips);

  // Questions by task, and under "exists: yes", "exists: no".
  const std::map<std::string, int64_t>& counts() const { return counts_; }

 private:
  const Vocabulary& vocabulary_;
  const Templates& templates_;
  const MakerOptions options_;
  std::map<std::string, int64_t> counts_;
  int64_t choices_ = 0;    // questions so far that offer two things
  int64_t existence_ = 0;  // questions so far whether something is there
};

}  // namespace opencloc
