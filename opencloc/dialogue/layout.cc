#include "opencloc/dialogue/layout.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "opencloc/base/text_file.h"

namespace opencloc {
namespace {

constexpr const char* kImage = "<image>\n";

// Ferret: the boxes of a turn are a list beside the texts, in pixels, and its dataset class writes
// the numbers (of a point or of the box, by its own draw) where the text has <bbox_location0>.
class FerretTurn {
 public:
  FerretTurn(const Dialogue& dialogue, PictureSize picture)
      : dialogue_(dialogue), picture_(picture) {}

  std::string text(std::string_view source, std::string_view where) {
    std::string result;
    for (const Piece& piece : split_placeholders(source, where)) {
      if (piece.kind == Piece::Kind::kWords) {
        result += piece.words;
        continue;
      }
      const auto [at, is_new] = numbers_.emplace(piece.index, boxes_.size());
      if (is_new) boxes_.push_back(pixels(dialogue_.boxes[piece.index]));
      result += "<bbox_location" + std::to_string(at->second) + ">";
    }
    return result;
  }
  const Json& boxes() const { return boxes_; }

 private:
  Json pixels(const Box& box) const {
    return {ferret_pixel(box.x0, picture_.width), ferret_pixel(box.y0, picture_.height),
            ferret_pixel(box.x1, picture_.width), ferret_pixel(box.y1, picture_.height)};
  }
  const Dialogue& dialogue_;
  PictureSize picture_;
  std::map<size_t, size_t> numbers_;  // of the dialogue's boxes -> of this turn's
  Json boxes_ = Json::array();
};

Json speech(const char* who, std::string text) {
  return {{"from", who}, {"value", std::move(text)}};
}

// Where the phrase of a box begins in the words before it: behind the last comma. Only the answers
// of ground and ground_many are made of phrases and their boxes.
size_t phrase_begin(std::string_view words) {
  const size_t comma = words.rfind(", ");
  return comma == std::string_view::npos ? 0 : comma + 2;
}

// "fox <box0>." in the frame's numbers, the phrase in the marks that InternVL and Qwen2-VL learn.
std::string marked_text(const Dialogue& dialogue, std::string_view source, PictureSize picture,
                        const FrameOptions& frame, std::string_view where) {
  const bool internvl = frame.frame == Frame::kInternvl;
  const bool marks = (internvl || frame.frame == Frame::kQwen2) &&
                     (dialogue.task == "ground" || dialogue.task == "ground_many");
  std::string result;
  for (const Piece& piece : split_placeholders(source, where)) {
    if (piece.kind == Piece::Kind::kWords) {
      result += piece.words;
      continue;
    }
    if (piece.kind == Piece::Kind::kPoint) {
      result += frame_text(dialogue.points[piece.index], picture, frame);
      continue;
    }
    if (const size_t begin = phrase_begin(result); marks && begin < result.size()) {
      const std::string phrase(trimmed(std::string_view(result).substr(begin)));
      result.resize(begin);
      result += internvl ? "<ref>" + phrase + "</ref>"
                         : "<|object_ref_start|>" + phrase + "<|object_ref_end|>";
    }
    result += frame_text(dialogue.boxes[piece.index], picture, frame);
  }
  return result;
}

// An answer of phrases and boxes as Qwen2.5-VL and Qwen3-VL give it:
// [{"bbox_2d": [77, 144, 371, 437], "label": "fox"}]
std::string qwen_json(const Dialogue& dialogue, std::string_view source, PictureSize picture,
                      const FrameOptions& frame, std::string_view where) {
  std::string words, result;
  for (const Piece& piece : split_placeholders(source, where)) {
    if (piece.kind != Piece::Kind::kBox) {
      words += piece.words;
      continue;
    }
    const std::string phrase(trimmed(std::string_view(words).substr(phrase_begin(words))));
    result += (result.empty() ? "[\n\t{\"bbox_2d\": " : ",\n\t{\"bbox_2d\": ") +
              frame_text(dialogue.boxes[piece.index], picture, frame) +
              ", \"label\": " + dump_json(Json(phrase)) + "}";
    words.clear();
  }
  return "```json\n" + result + "\n]\n```";
}

std::string answer_text(const Dialogue& dialogue, const Turn& turn, PictureSize picture,
                        const FrameOptions& frame, std::string_view where) {
  const bool grounds = dialogue.task == "ground" || dialogue.task == "ground_many";
  const bool json = frame.frame == Frame::kQwen25 || frame.frame == Frame::kQwen3;
  if (grounds && json && turn.say.find("<box") != std::string::npos)
    return qwen_json(dialogue, turn.say, picture, frame, where);
  return marked_text(dialogue, turn.say, picture, frame, where);
}

}  // namespace

int ferret_pixel(double value, int side) {
  const double thousandths = 1000 * value;
  const int near = static_cast<int>(std::lround(value * side));
  int best = std::clamp(near, 0, side - 1);
  const auto error = [&](int pixel) {
    return std::abs(std::floor(pixel * (1000.0 / side)) - thousandths);
  };
  for (const int pixel : {near - 1, near, near + 1}) {
    if (pixel >= 0 && pixel < side && error(pixel) < error(best)) best = pixel;
  }
  return best;
}

std::string file_of_task(ExportFormat format, const std::string& task) {
  switch (format) {
    case ExportFormat::kFerret: {
      static const std::map<std::string, std::string> kSources = {
          {"refer", "vg_object"},     {"name", "vg_object"},     {"point", "vg_object"},
          {"ground", "refexp"},       {"ground_many", "flickr"}, {"exists", "vg_yesno_object"},
          {"relation", "vg_relation"}};
      const auto found = kSources.find(task);
      return (found == kSources.end() ? "grounded_llava_boxes" : found->second) + ".json";
    }
    case ExportFormat::kLlava:
      return "llava.json";
    case ExportFormat::kQwen:
      return "qwen.json";
    case ExportFormat::kInternvl:
      return "internvl.jsonl";
  }
  return {};
}

Json conversation(const std::vector<Dialogue>& dialogues, const ExportedPicture& picture,
                  const ExportOptions& options) {
  const bool ferret = options.format == ExportFormat::kFerret;
  Json speeches = Json::array(), boxes = Json::array();
  for (const Dialogue& dialogue : dialogues) {
    for (const Turn& turn : dialogue.turns) {
      std::string ask, say;
      if (ferret) {
        FerretTurn asks(dialogue, picture.size), says(dialogue, picture.size);
        ask = asks.text(turn.ask, picture.id);
        say = says.text(turn.say, picture.id);
        boxes.push_back(asks.boxes());
        boxes.push_back(says.boxes());
      } else {
        ask = marked_text(dialogue, turn.ask, picture.size, options.frame, picture.id);
        say = answer_text(dialogue, turn, picture.size, options.frame, picture.id);
      }
      if (speeches.empty()) ask = kImage + ask;
      speeches.push_back(speech("human", std::move(ask)));
      speeches.push_back(speech("gpt", std::move(say)));
    }
  }
  Json result = {{"id", picture.id}, {"image", picture.file}};
  if (ferret) {
    result["image_w"] = picture.size.width;
    result["image_h"] = picture.size.height;
  }
  if (options.format == ExportFormat::kInternvl) {
    result["width"] = picture.size.width;
    result["height"] = picture.size.height;
  }
  result["conversations"] = std::move(speeches);
  if (ferret) result["box_x1y1x2y2"] = std::move(boxes);
  return result;
}

}  // namespace opencloc
