#include "opencloc/dialogue/score.h"

#include <algorithm>
#include <array>

#include "opencloc/base/text_file.h"
#include "opencloc/dialogue/words.h"
#include "opencloc/text/clean_text.h"

namespace opencloc {
namespace {

constexpr float kRightIou = 0.5f;

double share(int64_t count, int64_t of) {
  return of == 0 ? 0 : static_cast<double>(count) / static_cast<double>(of);
}

bool is_blank(char c) { return std::string_view(" \t\n\r\f\v").find(c) != std::string_view::npos; }

// re.sub(r"\s+WORD[^,.]*[,.]", "", text)
std::string without_spans(std::string_view text, std::string_view word) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    size_t after = at;
    while (after < text.size() && is_blank(text[after])) ++after;
    if (after > at && text.substr(after).starts_with(word)) {
      const size_t end = text.find_first_of(",.", after + word.size());
      if (end != std::string_view::npos) {
        at = end + 1;
        continue;
      }
    }
    const size_t keep = std::max(after, at + 1);
    result += text.substr(at, keep - at);
    at = keep;
  }
  return result;
}

std::string spaced(std::string_view name) {
  std::string result(name);
  std::ranges::replace(result, '_', ' ');
  return std::string(trimmed(result));
}

// The name and its synonyms as Ferret compares them: "aerial_(antenna)" is "aerial" and "antenna".
std::vector<std::string> accepted_names(const ReferAnswer& answer) {
  std::vector<std::string> names = {spaced(answer.name)};
  for (const std::string& synonym : answer.synonyms) {
    const size_t open = synonym.find('(');
    names.push_back(spaced(std::string_view(synonym).substr(0, open)));
    if (open == std::string::npos) continue;
    std::string inside = synonym.substr(open + 1);
    std::erase(inside, ')');
    names.push_back(spaced(inside));
  }
  std::erase(names, "");
  return names;
}

std::string without_article(std::string text) {
  for (const std::string_view article : {"a ", "an ", "the "})
    if (text.starts_with(article)) return text.substr(article.size());
  return text;
}

Box pixels(const Box& box, PictureSize picture) {
  const auto w = static_cast<float>(picture.width), h = static_cast<float>(picture.height);
  return {box.x0 * w, box.y0 * h, box.x1 * w, box.y1 * h};
}

float pixel_iou(const Box& a, const Box& b, PictureSize picture) {
  return iou(pixels(a, picture), pixels(b, picture));
}

std::vector<FoundBox> answer_boxes(std::string_view text, PictureSize picture,
                                   const FrameOptions& options) {
  return options.frame == Frame::kFerret ? ferret_boxes(text, picture)
                                         : find_boxes(text, picture, options);
}

}  // namespace

std::string plain_phrase(std::string_view text) {
  std::string spaced(text);
  for (char& c : spaced)
    if (std::string_view("'\",.;!?|:").find(c) != std::string_view::npos) c = ' ';
  return without_signs(lower_case(spaced));
}

void ReferScore::add(const ReferAnswer& answer) {
  ++n;
  const std::vector<std::string> names = accepted_names(answer);
  const std::string text = without_spans(without_spans(answer.answer, "not"), "no");
  const bool named = std::ranges::any_of(
      names, [&text](const std::string& name) { return text.find(name) != std::string::npos; });
  ferret += named ? 1 : 0;
  const std::string whole = without_article(plain_phrase(answer.answer));
  strict += std::ranges::any_of(names, [&whole](const std::string& name) {
    return whole == without_article(plain_phrase(name));
  });
  const std::vector<std::string> said = words_of(answer.answer);
  const auto says = [&said](std::string_view name) { return holds_words(said, words_of(name)); };
  both += !answer.other.empty() && says(spaced(answer.other)) && std::ranges::any_of(names, says);
}

Json ReferScore::json() const {
  return {{"acc", share(ferret, n)},
          {"strict_acc", share(strict, n)},
          {"names_both", share(both, n)},
          {"n", n}};
}

void GroundScore::add(const GroundAnswer& answer, const FrameOptions& options) {
  ++n;
  const auto boxes = answer_boxes(answer.answer, answer.picture, options);
  if (boxes.empty()) {
    ++no_box;
    return;
  }
  const float overlap = pixel_iou(boxes.front().box, answer.box, answer.picture);
  iou_sum += overlap;
  right += overlap >= kRightIou ? 1 : 0;
}

Json GroundScore::json() const {
  return {{"acc@0.5", share(right, n)},
          {"mean_iou", n == 0 ? 0 : iou_sum / static_cast<double>(n)},
          {"no_box", share(no_box, n)},
          {"n", n}};
}

void EntityScore::add(const EntityAnswer& answer, const FrameOptions& options) {
  ++n;
  std::vector<FoundBox> boxes = answer_boxes(answer.answer, answer.picture, options);
  const std::string phrase = plain_phrase(answer.phrase);
  std::erase_if(boxes, [&phrase](const FoundBox& b) { return plain_phrase(b.phrase) != phrase; });
  if (boxes.empty() || answer.boxes.empty()) {
    ++no_box;
    return;
  }
  Box whole = answer.boxes.front();
  for (const Box& box : answer.boxes) {
    whole = {std::min(whole.x0, box.x0), std::min(whole.y0, box.y0), std::max(whole.x1, box.x1),
             std::max(whole.y1, box.y1)};
  }
  const auto fits = [&answer](const Box& a, const Box& b) {
    return pixel_iou(a, b, answer.picture) >= kRightIou;
  };
  const Box& first = boxes.front().box;
  merged += fits(first, whole) ? 1 : 0;
  any += std::ranges::any_of(answer.boxes, [&](const Box& box) { return fits(first, box); });
  upper_bound +=
      std::ranges::any_of(boxes, [&](const FoundBox& found) { return fits(found.box, whole); });
}

Json EntityScore::json() const {
  return {{"recall@1", share(merged, n)},
          {"any_box_recall@1", share(any, n)},
          {"upper_bound", share(upper_bound, n)},
          {"no_box", share(no_box, n)},
          {"n", n}};
}

bool pope_says_yes(std::string_view answer) {
  std::string first(answer.substr(0, answer.find('.')));
  std::erase(first, ',');
  for (size_t at = 0; at <= first.size();) {
    const size_t end = std::min(first.find(' ', at), first.size());
    const std::string_view word = std::string_view(first).substr(at, end - at);
    if (word == "No" || word == "not" || word == "no") return false;
    at = end + 1;
  }
  return true;
}

void PopeScore::add(std::string_view answer, bool is_there) {
  const bool yes = pope_says_yes(answer);
  (yes ? (is_there ? true_yes : false_yes) : (is_there ? false_no : true_no)) += 1;
  const std::vector<std::string> words = words_of(answer);
  neither += words.empty() || (words.front() != "yes" && words.front() != "no") ? 1 : 0;
}

Json PopeScore::json() const {
  const int64_t n = true_yes + false_yes + true_no + false_no;
  const double precision = share(true_yes, true_yes + false_yes);
  const double recall = share(true_yes, true_yes + false_no);
  const double sum = precision + recall;
  return {{"accuracy", share(true_yes + true_no, n)},
          {"precision", precision},
          {"recall", recall},
          {"f1", sum > 0 ? 2 * precision * recall / sum : 0},
          {"yes_share", share(true_yes + false_yes, n)},
          {"neither", share(neither, n)},
          {"n", n}};
}

}  // namespace opencloc
