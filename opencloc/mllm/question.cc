#include "opencloc/mllm/question.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

// The numbers of "[1, 2, 3]"; none when there is anything else in it.
std::optional<std::vector<double>> numbers_in(std::string_view bracket) {
  std::string inside(bracket.substr(1, bracket.size() - 2));
  std::replace(inside.begin(), inside.end(), ',', ' ');
  std::vector<double> numbers;
  const char* at = inside.c_str();
  while (*at != '\0') {
    char* end = nullptr;
    const double number = std::strtod(at, &end);
    if (end == at) {
      if (*at != ' ') return std::nullopt;
      ++at;
      continue;
    }
    numbers.push_back(number);
    at = end;
  }
  return numbers;
}

Error outside(std::string_view bracket, PictureSize picture) {
  return Error::input("a place outside the picture of " + std::to_string(picture.width) + " x " +
                          std::to_string(picture.height),
                      std::string(bracket),
                      "give x0, y0, x1, y1 or x, y in the frame of the model");
}

// Box (or point, as a box without area) of a bracket.
Box place_of(std::string_view bracket, const std::vector<double>& numbers, PictureSize picture,
             const FrameOptions& frame) {
  const double most = frame.frame == Frame::kLlava ? 1.0 : 1000.0;
  for (const double number : numbers)
    if (!(number >= 0 && number <= most)) throw outside(bracket, picture);
  std::string text(bracket);
  if (numbers.size() == 2) {  // the point twice
    const std::string inside(bracket.substr(1, bracket.size() - 2));
    text = "[" + inside + ", " + inside + "]";
  }
  const auto found = find_boxes(text, picture, frame);
  if (found.size() != 1) throw outside(bracket, picture);
  return found.front().box;
}

}  // namespace

Dialogue parse_question(std::string_view text, PictureSize picture, const FrameOptions& frame) {
  if (text.find_first_not_of(' ') == std::string_view::npos)
    throw Error::input("an empty question", "QUESTION", "ask something");
  if (holds_marks(text))
    throw Error::input("a question with a mark of dialogues in it", std::string(text),
                       "leave out <image>, <region>, <box0> and the like");
  Dialogue dialogue;
  dialogue.task = "ask";
  std::string ask;
  bool points = false;
  while (!text.empty()) {
    const size_t open = text.find('['), close = text.find(']', open);
    if (open == std::string_view::npos || close == std::string_view::npos) break;
    ask += text.substr(0, open);
    const std::string_view bracket = text.substr(open, close + 1 - open);
    const auto numbers = numbers_in(bracket);
    if (numbers && (numbers->size() == 2 || numbers->size() == 4)) {
      const Box box = place_of(bracket, *numbers, picture, frame);
      const bool point = numbers->size() == 2;
      if (!point && (box.width() <= 0 || box.height() <= 0)) throw outside(bracket, picture);
      points = points || point;
      ask += (point ? "<point" : "<box") + std::to_string(dialogue.boxes.size()) + ">";
      dialogue.boxes.push_back(box);
      dialogue.points.push_back({(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2});
    } else {
      ask += bracket;
    }
    text.remove_prefix(close + 1);
  }
  ask += text;
  if (!points) dialogue.points.clear();
  dialogue.turns.push_back({std::move(ask), ""});
  return dialogue;
}

}  // namespace opencloc
