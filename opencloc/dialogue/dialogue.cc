#include "opencloc/dialogue/dialogue.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "opencloc/base/decimal.h"
#include "opencloc/base/text_file.h"

namespace opencloc {
namespace {

// Boxes are floats that went through decimals.
constexpr float kSlack = 1e-5f;

// The number after `head` at text[at], with its '>': "<box12>" gives 12 and the length.
std::optional<std::pair<size_t, size_t>> placeholder_at(std::string_view text, size_t at,
                                                        std::string_view head) {
  const size_t first = at + head.size();
  size_t index = 0;
  const auto [end, error] = std::from_chars(text.data() + first, text.data() + text.size(), index);
  const auto last = static_cast<size_t>(end - text.data());
  if (error != std::errc() || last == first || last >= text.size() || text[last] != '>')
    return std::nullopt;
  return std::pair{index, last + 1 - at};
}

// The numbers of a list. BadSample (kBadDialogue) unless it has `count` numbers.
std::vector<float> numbers(const Json& value, size_t count, std::string_view where) {
  std::vector<float> result;
  if (value.is_array()) {
    for (const auto& item : value)
      if (item.is_number()) result.push_back(item.get<float>());
  }
  if (result.size() != count || value.size() != count) {
    throw BadSample(skip::kBadDialogue,
                    dump_json(value) + " is not " + std::to_string(count) + " numbers", where);
  }
  return result;
}

bool in_unit(float v) { return v >= -kSlack && v <= 1 + kSlack; }  // false for NaN

std::string box_words(const Box& box) {
  return "[" + std::to_string(box.x0) + ", " + std::to_string(box.y0) + ", " +
         std::to_string(box.x1) + ", " + std::to_string(box.y1) + "]";
}

void check_text(std::string_view text, const Dialogue& dialogue, std::string_view where) {
  for (const Piece& piece : split_placeholders(text, where)) {
    const bool point = piece.kind == Piece::Kind::kPoint;
    if (piece.kind == Piece::Kind::kWords) {
      if (!holds_marks(piece.words)) continue;
      throw BadSample(skip::kReserved, "'" + piece.words + "'", where);
    }
    if (piece.index < (point ? dialogue.points.size() : dialogue.boxes.size())) continue;
    throw BadSample(skip::kNoBox,
                    std::string(point ? "<point" : "<box") + std::to_string(piece.index) + "> of " +
                        std::to_string(dialogue.boxes.size()) + (point ? " points" : " boxes"),
                    where);
  }
}

}  // namespace

std::vector<Piece> split_placeholders(std::string_view text, std::string_view where) {
  std::vector<Piece> pieces;
  std::string words;
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const bool box = rest.starts_with("<box"), point = rest.starts_with("<point");
    if (!box && !point) {
      words += text[at++];
      continue;
    }
    const auto found = placeholder_at(text, at, box ? "<box" : "<point");
    if (!found) {
      throw BadSample(skip::kOpenPlaceholder, "'" + std::string(rest.substr(0, 20)) + "'", where);
    }
    if (!words.empty()) pieces.push_back({Piece::Kind::kWords, std::exchange(words, {}), 0});
    pieces.push_back({box ? Piece::Kind::kBox : Piece::Kind::kPoint, {}, found->first});
    at += found->second;
  }
  if (!words.empty()) pieces.push_back({Piece::Kind::kWords, std::move(words), 0});
  return pieces;
}

bool holds_marks(std::string_view text) {
  static constexpr std::array<std::string_view, 16> kMarks = {
      "<image", "<video", "<region", "<bbox_location", "<box",
      "</box>", "<point", "<ref>",   "</ref>",         "<|",
      "<s>",    "</s>",   "<quad>",  "<IMG_CONTEXT>",  "<img>",
      "</img>"};
  return std::ranges::any_of(
      kMarks, [text](std::string_view mark) { return text.find(mark) != std::string_view::npos; });
}

void check_dialogue(const Dialogue& dialogue, std::string_view where) {
  if (dialogue.turns.empty()) throw BadSample(skip::kBadDialogue, "it has no turns", where);
  for (const Box& box : dialogue.boxes) {
    const bool inside = in_unit(box.x0) && in_unit(box.y0) && in_unit(box.x1) && in_unit(box.y1);
    if (!inside) throw BadSample(skip::kBoxOutside, box_words(box), where);
    if (box.width() <= 0 || box.height() <= 0)
      throw BadSample(skip::kEmptyBox, box_words(box), where);
  }
  for (const PicturePoint& point : dialogue.points) {
    if (in_unit(point.x) && in_unit(point.y)) continue;
    throw BadSample(skip::kBoxOutside,
                    "point [" + std::to_string(point.x) + ", " + std::to_string(point.y) + "]",
                    where);
  }
  if (!dialogue.points.empty() && dialogue.points.size() != dialogue.boxes.size()) {
    throw BadSample(skip::kBadDialogue,
                    std::to_string(dialogue.points.size()) + " points, " +
                        std::to_string(dialogue.boxes.size()) + " boxes",
                    where);
  }
  for (const Turn& turn : dialogue.turns) {
    if (trimmed(turn.ask).empty()) throw BadSample(skip::kBadDialogue, "an empty question", where);
    if (trimmed(turn.say).empty()) throw BadSample(skip::kNoAnswer, "'" + turn.ask + "'", where);
    check_text(turn.ask, dialogue, where);
    check_text(turn.say, dialogue, where);
  }
}

Json dialogue_json(const Dialogue& dialogue) {
  Json result = Json::object();
  result["task"] = dialogue.task;
  Json& turns = result["turns"] = Json::array();
  for (const Turn& turn : dialogue.turns) turns.push_back({{"ask", turn.ask}, {"say", turn.say}});
  Json& boxes = result["boxes"] = Json::array();
  for (const Box& box : dialogue.boxes) {
    boxes.push_back({shortest_decimal(box.x0), shortest_decimal(box.y0), shortest_decimal(box.x1),
                     shortest_decimal(box.y1)});
  }
  if (!dialogue.points.empty()) {
    Json& points = result["points"] = Json::array();
    for (const PicturePoint& point : dialogue.points)
      points.push_back({shortest_decimal(point.x), shortest_decimal(point.y)});
  }
  result.update(dialogue.extra);
  return result;
}

Dialogue parse_dialogue(const Json& value, std::string_view where) {
  const auto bad = [where](std::string_view what) {
    return BadSample(skip::kBadDialogue, what, where);
  };
  if (!value.is_object()) throw bad("not an object");
  Dialogue dialogue;
  for (const auto& [key, item] : value.items()) {
    if (key == "task") {
      if (!item.is_string()) throw bad("'task' is not a string");
      dialogue.task = item.get<std::string>();
    } else if (key == "turns") {
      if (!item.is_array()) throw bad("'turns' is not a list");
      for (const auto& turn : item) {
        if (!turn.is_object() || !turn.contains("ask") || !turn["ask"].is_string())
          throw bad("a turn has no text 'ask'");
        const bool says = turn.contains("say") && turn["say"].is_string();
        dialogue.turns.push_back(
            {turn["ask"].get<std::string>(), says ? turn["say"].get<std::string>() : ""});
      }
    } else if (key == "boxes") {
      if (!item.is_array()) throw bad("'boxes' is not a list");
      for (const auto& box : item) {
        const auto v = numbers(box, 4, where);
        dialogue.boxes.push_back({v[0], v[1], v[2], v[3]});
      }
    } else if (key == "points") {
      if (!item.is_array()) throw bad("'points' is not a list");
      for (const auto& point : item) {
        const auto v = numbers(point, 2, where);
        dialogue.points.push_back({v[0], v[1]});
      }
    } else {
      dialogue.extra[key] = item;
    }
  }
  check_dialogue(dialogue, where);
  for (Box& box : dialogue.boxes) box = clip_to_unit(box);
  return dialogue;
}

std::vector<Dialogue> read_dialogues(const Record& record, std::string_view name,
                                     SkipCounter& skips) {
  std::vector<Dialogue> result;
  const auto found = record.extra.find(kDialogues);
  if (found == record.extra.end() || found->is_null()) return result;
  if (!found->is_array()) {
    skips.add(skip::kBadDialogue, name, "'dialogues' is not a list");
    return result;
  }
  for (size_t i = 0; i < found->size(); ++i) {
    const std::string where = std::string(name) + ", dialogue " + std::to_string(i);
    try {
      result.push_back(parse_dialogue((*found)[i], where));
    } catch (const BadSample& bad) {
      skips.add(bad);
    }
  }
  return result;
}

void set_dialogues(const std::vector<Dialogue>& dialogues, Record& record) {
  Json& list = record.extra[kDialogues] = Json::array();
  for (const Dialogue& dialogue : dialogues) list.push_back(dialogue_json(dialogue));
}

}  // namespace opencloc
