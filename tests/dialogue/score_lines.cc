// For bench/score_agreement.py: a JSON object a line -> what the rules of score.h say of its
// answer.
//   {"text", "name", "synonyms", "other", "w", "h"} ->
//   {"refer", "yes", "alike", "boxes": [[phrase, x0, y0, x1, y1 in pixels], ...]}
#include <cmath>
#include <iostream>

#include "opencloc/dialogue/score.h"

int main() {
  using namespace opencloc;
  for (std::string line; std::getline(std::cin, line);) {
    const Json in = parse_json(line, "stdin");
    const auto text = in.at("text").get<std::string>();
    ReferScore refer;
    refer.add({text, in.at("name"), in.at("synonyms").get<std::vector<std::string>>(), ""});
    const PictureSize picture{in.at("w"), in.at("h")};
    Json boxes = Json::array();
    for (const FoundBox& found : ferret_boxes(text, picture)) {
      boxes.push_back({found.phrase, std::lround(found.box.x0 * picture.width),
                       std::lround(found.box.y0 * picture.height),
                       std::lround(found.box.x1 * picture.width),
                       std::lround(found.box.y1 * picture.height)});
    }
    const bool alike = plain_phrase(text) == plain_phrase(in.at("other").get<std::string>());
    const Json out = {{"refer", refer.ferret == 1},
                      {"yes", pope_says_yes(text)},
                      {"alike", alike},
                      {"boxes", boxes}};
    std::cout << dump_json(out) << "\n";
  }
}
