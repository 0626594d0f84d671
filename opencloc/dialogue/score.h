// Scores of answers, by the rules that papers report: text in, counts out, no model. Where a public
// evaluation's rule is odd it is followed to the letter, and a stricter figure stands beside it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/dialogue/frame.h"
#include "opencloc/image/box.h"

namespace opencloc {

// Lower case, without punctuation, single blanks: "The Fox's ear." -> "the fox s ear". As Ferret
// compares phrases: ' " , . ; ! ? | : become a blank, other signs nothing.
std::string plain_phrase(std::string_view text);

// "Is the object <box0> of the image a A or a B?"
struct ReferAnswer {
  std::string answer;
  std::string name;                        // what it is
  std::vector<std::string> synonyms = {};  // as LVIS writes them: "stop_sign", "aerial_(antenna)"
  std::string other = {};                  // what the question offered beside it
};

// Ferret's rule: spans from " not" or " no" to the next comma or full stop are deleted (a span
// without one is kept; " north, " is deleted too), then the name or a synonym as a part of the
// text, with its case, is right. An answer that names both is right by it, and so is "pineapple"
// for "apple". The strict rule: the whole answer, without an article, is the name or a synonym.
struct ReferScore {
  int64_t n = 0;
  int64_t ferret = 0;
  int64_t strict = 0;
  int64_t both = 0;  // answers that hold the name and the other one, as words

  void add(const ReferAnswer& answer);
  // {"acc", "strict_acc", "names_both", "n"}
  Json json() const;
};

// "What is the location of X in the image?": RefCOCO, RefCOCO+, RefCOCOg.
struct GroundAnswer {
  std::string answer;
  Box box;  // the true one, in [0, 1] of the stored picture
  PictureSize picture;
};

// The answer's first box; right from IoU 0.5 on. An answer without a box counts as a box without
// area. In Ferret's frame the answer is read as Ferret's evaluation does (ferret_boxes()).
struct GroundScore {
  int64_t n = 0;
  int64_t right = 0;
  int64_t no_box = 0;
  double iou_sum = 0;

  void add(const GroundAnswer& answer, const FrameOptions& options);
  // {"acc@0.5", "mean_iou", "no_box", "n"}
  Json json() const;
};

// "What are the locations of a, b, c?": Flickr30k Entities, one of its phrases.
struct EntityAnswer {
  std::string answer;
  std::string phrase;
  std::vector<Box> boxes;  // all true ones of the phrase, at least one
  PictureSize picture;
};

// Of the answer's boxes only those count whose words are the phrase's (plain_phrase()). R@1 takes
// the first of them. "merged": the true box is the one around all true ones, as Ferret reports.
// "any": any of the true boxes will do. "upper_bound": any of the answer's boxes, merged truth.
struct EntityScore {
  int64_t n = 0;
  int64_t merged = 0;
  int64_t any = 0;
  int64_t upper_bound = 0;
  int64_t no_box = 0;  // the phrase has no box in the answer

  void add(const EntityAnswer& answer, const FrameOptions& options);
  // {"recall@1", "any_box_recall@1", "upper_bound", "no_box", "n"}
  Json json() const;
};

// "Is there a X in the image?": POPE. The first sentence, up to the first full stop, without
// commas, cut at blanks: one of the words "No", "no", "not" means no, all else means yes.
bool pope_says_yes(std::string_view answer);

struct PopeScore {
  int64_t true_yes = 0, false_yes = 0, true_no = 0, false_no = 0;
  int64_t neither = 0;  // answers that do not begin with yes or no, in any case; counted above too

  void add(std::string_view answer, bool is_there);
  // {"accuracy", "precision", "recall", "f1", "yes_share", "neither", "n"}. A share of nothing is
  // 0.
  Json json() const;
};

}  // namespace opencloc
