#include "opencloc/mllm/report_answers.h"

#include <memory>
#include <string>
#include <utility>

#include "opencloc/data/shard/skips.h"
#include "opencloc/mllm/answers.h"

namespace opencloc {
namespace {

constexpr uint64_t kPicturesSeed = 7;  // the same pictures in every run over the same data
constexpr size_t kShown = 4;           // dialogues of a picture

}  // namespace

ReportPicture answered_picture(const MllmModel& model, const Image& picture,
                               const std::vector<Dialogue>& dialogues,
                               const std::vector<std::string>& answers) {
  const PictureSize size{picture.width, picture.height};
  const FrameOptions frame{.frame = model.settings.frame};
  ReportPicture shown{picture, {}, {}};
  for (size_t i = 0; i < dialogues.size(); ++i) {
    const Dialogue& dialogue = dialogues[i];
    const Turn& turn = dialogue.turns.back();
    const auto found = find_boxes(answers[i], size, frame);
    const std::string text =
        text_in_frame(turn.ask, dialogue, size, frame) + " " + answers[i] +
        (turn.say.empty() ? ""
                          : " (given: " + text_in_frame(turn.say, dialogue, size, frame) + ")");
    // A box of the answer beside the given one, or alone.
    for (size_t box = 0; box < std::max(dialogue.boxes.size(), found.size()); ++box) {
      ReportBox drawn;
      drawn.has_prediction = box < found.size();
      if (drawn.has_prediction) drawn.predicted = found[box].box;
      drawn.box = box < dialogue.boxes.size() ? dialogue.boxes[box] : drawn.predicted;
      drawn.text = box == 0 ? text : "";
      shown.boxes.push_back(std::move(drawn));
    }
    if (dialogue.boxes.empty() && found.empty())
      shown.text += (shown.text.empty() ? "" : " / ") + text;
  }
  return shown;
}

std::vector<ReportPicture> report_answers(const SampleStore& store, MllmModel& model, int count) {
  SkipCounter quiet(0);  // counted where training or evaluation reads it
  Sampler sampler(store.sizes(), {}, kPicturesSeed);
  std::vector<ReportPicture> pictures;
  for (uint64_t i = 0; i < store.total() && static_cast<int>(pictures.size()) < count; ++i) {
    const Draw draw = sampler.next();
    try {
      const Record record = store.read(draw.source, draw.index);
      auto dialogues = read_dialogues(record, record.key, quiet);
      if (dialogues.empty()) continue;
      if (dialogues.size() > kShown) dialogues.resize(kShown);
      const auto picture = std::make_shared<Image>(Image::decode(record.image, record.key));
      std::vector<PictureQuestion> questions;
      for (const auto& dialogue : dialogues) questions.push_back({dialogue, picture});
      std::vector<std::string> answers;
      for (auto& each : answer(model, questions)) answers.push_back(std::move(each.text));
      pictures.push_back(answered_picture(model, *picture, dialogues, answers));
    } catch (const Error&) {
      continue;  // as above
    }
  }
  return pictures;
}

}  // namespace opencloc
