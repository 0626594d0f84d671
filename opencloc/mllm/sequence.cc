#include "opencloc/mllm/sequence.h"

#include <string>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

// "ask" and "say" with their boxes in the frame. `regions`: where to note what a question points
// at; nullptr: no <region> is written.
std::string written(std::string_view text, const Dialogue& dialogue, PictureSize picture,
                    const FrameOptions& frame, std::vector<SequenceRegion>* regions) {
  std::string all;
  for (const Piece& piece : split_placeholders(text, "a dialogue")) {
    switch (piece.kind) {
      case Piece::Kind::kWords:
        all += piece.words;
        continue;
      case Piece::Kind::kBox: {
        const Box& box = dialogue.boxes.at(piece.index);
        all += frame_text(box, picture, frame);
        if (regions != nullptr) regions->push_back({.box = box});
        break;
      }
      case Piece::Kind::kPoint: {
        const PicturePoint& point = dialogue.points.at(piece.index);
        all += frame_text(point, picture, frame);
        if (regions != nullptr)
          regions->push_back({{point.x, point.y, point.x, point.y}, true, point});
        break;
      }
    }
    if (regions != nullptr) all.append(" ").append(kRegionSymbol);
  }
  return all;
}

void append(std::vector<int32_t>& ids, const std::vector<int32_t>& more) {
  ids.insert(ids.end(), more.begin(), more.end());
}

}  // namespace

std::string text_in_frame(std::string_view text, const Dialogue& dialogue, PictureSize picture,
                          const FrameOptions& frame) {
  return written(text, dialogue, picture, frame, nullptr);
}

int32_t symbol_id(const Tokenizer& tokenizer, std::string_view symbol) {
  // Alone it may have the piece of a blank in front of it.
  const auto alone = tokenizer.encode(symbol);
  const auto twice = tokenizer.encode(std::string(symbol).append(symbol));
  if (alone.empty() || twice.size() != alone.size() + 1 || twice.back() != alone.back()) {
    throw Error::input("the tokenizer does not know the symbol " + std::string(symbol), "tokenizer",
                       "use one that was trained for multimodal language models");
  }
  return alone.back();
}

SequenceMaker::SequenceMaker(const Tokenizer& tokenizer, SequenceOptions options)
    : tokenizer_(tokenizer),
      options_(options),
      image_id_(symbol_id(tokenizer, kImageSymbol)),
      region_id_(symbol_id(tokenizer, kRegionSymbol)) {
  if (options_.image_tokens < 1 || options_.image_tokens >= options_.context_length) {
    throw Error::input("a picture of " + std::to_string(options_.image_tokens) +
                           " tokens in a context of " + std::to_string(options_.context_length),
                       "context length", "give the language model a longer context");
  }
}

SequenceMaker::Part SequenceMaker::part(const Dialogue& dialogue, const Turn& turn,
                                        PictureSize picture) const {
  Part part;
  const std::string ask = written(turn.ask, dialogue, picture, options_.frame,
                                  options_.region_symbols ? &part.regions : nullptr);
  part.ask = tokenizer_.encode(ask + " ASSISTANT:");
  part.say = tokenizer_.encode(written(turn.say, dialogue, picture, options_.frame, nullptr));
  part.say.push_back(tokenizer_.end_id());
  return part;
}

void SequenceMaker::add(const Part& part, bool with_answer, Sequence& sequence) const {
  append(sequence.ids, tokenizer_.encode("USER:"));
  if (sequence.turns++ == 0)
    sequence.ids.insert(sequence.ids.end(), static_cast<size_t>(options_.image_tokens), image_id_);
  append(sequence.ids, part.ask);
  sequence.learned.resize(sequence.ids.size(), 0);
  if (with_answer) append(sequence.ids, part.say);
  sequence.learned.resize(sequence.ids.size(), 1);
  sequence.regions.insert(sequence.regions.end(), part.regions.begin(), part.regions.end());
}

Sequence SequenceMaker::learn(const std::vector<Dialogue>& dialogues, PictureSize picture) const {
  Sequence sequence;
  for (const Dialogue& dialogue : dialogues) {
    for (const Turn& turn : dialogue.turns) {
      Sequence longer = sequence;
      add(part(dialogue, turn, picture), true, longer);
      if (static_cast<int64_t>(longer.ids.size()) <= options_.context_length) {
        sequence = std::move(longer);
      } else {
        ++sequence.turns_left_out;
      }
    }
  }
  return sequence;
}

Sequence SequenceMaker::ask(const Dialogue& dialogue, PictureSize picture) const {
  Sequence sequence;
  for (size_t i = 0; i < dialogue.turns.size(); ++i)
    add(part(dialogue, dialogue.turns[i], picture), i + 1 < dialogue.turns.size(), sequence);
  if (static_cast<int64_t>(sequence.ids.size()) >= options_.context_length) {
    throw Error::input("a question of " + std::to_string(sequence.ids.size()) +
                           " ids leaves no room for an answer",
                       "a context of " + std::to_string(options_.context_length),
                       "ask less at a time");
  }
  return sequence;
}

}  // namespace opencloc
