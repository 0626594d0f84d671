// Questions and answers about a picture and its regions, in one form that no trainer's conventions
// reach (docs/reference/dialogues.md). They lie in a record's JSON under "dialogues":
//
//   {"task": "ground", "turns": [{"ask": "What is the location of the fox in the image?",
//                                 "say": "fox <box0>."}], "boxes": [[0.1, 0.2, 0.5, 0.9]]}
//
// A text never holds a coordinate. <box0> stands for boxes[0], <point0> for points[0], and becomes
// numbers only where the frame of coordinates is known (frame.h).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/data/shard/record.h"
#include "opencloc/data/shard/skips.h"
#include "opencloc/image/box.h"

namespace opencloc {

struct PicturePoint {
  float x = 0, y = 0;
  bool operator==(const PicturePoint&) const = default;
};

struct Turn {
  std::string ask;
  std::string say;
};

struct Dialogue {
  std::string task;
  std::vector<Turn> turns;
  std::vector<Box> boxes;            // in [0, 1] of the stored picture
  std::vector<PicturePoint> points;  // none, or one for each box, in [0, 1] of the stored picture
  Json extra = Json::object();       // every other key, kept
};

// The record's key.
inline constexpr const char* kDialogues = "dialogues";

// Why a dialogue is left out while the rest of its record is used.
namespace skip {
inline constexpr std::string_view kBadDialogue = "dialogue of unknown form";
inline constexpr std::string_view kNoBox = "placeholder without its box";
inline constexpr std::string_view kBoxOutside = "box outside the picture";
inline constexpr std::string_view kNoAnswer = "question without an answer";
inline constexpr std::string_view kOpenPlaceholder = "placeholder without an end";
inline constexpr std::string_view kReserved = "text holds a word of the trainers";
inline constexpr std::string_view kNoDialogue = "nothing to ask about";
}  // namespace skip

// A part of a text: words, or the place of boxes[index] or points[index].
struct Piece {
  enum class Kind { kWords, kBox, kPoint };
  Kind kind = Kind::kWords;
  std::string words;
  size_t index = 0;
};

// "fox <box0>." -> "fox ", <box0>, ".". A "<box" or "<point" that is no placeholder with an end is
// a BadSample (kOpenPlaceholder) naming `where`.
std::vector<Piece> split_placeholders(std::string_view text, std::string_view where);

// Whether a text of other people's holds what trainers or this file would read as a mark: <image>,
// <region_fea>, <ref>, <|...|>, <box0>, ... Such a text cannot be part of a dialogue.
bool holds_marks(std::string_view text);

// Throws BadSample (one of the reasons above) naming `where` when the dialogue cannot be used:
// every question has an answer, every placeholder its box, and every box lies in the picture and
// has an area.
void check_dialogue(const Dialogue& dialogue, std::string_view where);

Json dialogue_json(const Dialogue& dialogue);
// Reads and checks one. Throws BadSample.
Dialogue parse_dialogue(const Json& value, std::string_view where);

// The record's dialogues. Broken ones are left out and counted; `name` is the sample's, for the
// log. Empty when the record has none.
std::vector<Dialogue> read_dialogues(const Record& record, std::string_view name,
                                     SkipCounter& skips);
// Puts them into the record, in place of those it has.
void set_dialogues(const std::vector<Dialogue>& dialogues, Record& record);

}  // namespace opencloc
