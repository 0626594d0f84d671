#include "opencloc/mllm/evaluate.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/progress.h"
#include "opencloc/data/shard/find_shards.h"
#include "opencloc/data/shard/skips.h"
#include "opencloc/dialogue/make_dialogues.h"
#include "opencloc/dialogue/score.h"
#include "opencloc/mllm/dialogue_source.h"

namespace opencloc {
namespace {

constexpr std::array<const char*, 8> kScored = {"refer",       "point",  "name",  "ground",
                                                "ground_many", "exists", "count", "relation"};
constexpr size_t kAtATime = 512;  // questions

std::string text_at(const Json& extra, const char* key) {
  const auto it = extra.find(key);
  return it != extra.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// The figures of all tasks.
class Scores {
 public:
  Scores(const MllmModel& model, SkipCounter& skips)
      : frame_{.frame = model.settings.frame}, skips_(skips) {}

  void add(const PictureQuestion& question, const Answer& answer, const std::string& name);
  Json json() const;

 private:
  struct Exact {
    int64_t n = 0, right = 0;
    Json json() const {
      return {{"acc", n > 0 ? static_cast<double>(right) / static_cast<double>(n) : 0}, {"n", n}};
    }
  };
  void add_ground(const PictureQuestion& question, const Answer& answer, PictureSize size);
  void add_many(const PictureQuestion& question, const Answer& answer, PictureSize size);
  double constant_box() const;

  const FrameOptions frame_;
  SkipCounter& skips_;
  std::map<std::string, ReferScore> refer_;
  GroundScore ground_;
  std::vector<Box> true_boxes_;
  EntityScore many_;
  std::map<std::string, PopeScore> exists_;  // by kind, and "" for all
  std::map<std::string, Exact> exact_;
  int64_t unended_ = 0;
};

void Scores::add(const PictureQuestion& question, const Answer& answer, const std::string& name) {
  const Dialogue& dialogue = question.dialogue;
  const std::string& task = dialogue.task;
  const PictureSize size{question.picture->width, question.picture->height};
  unended_ += answer.ended ? 0 : 1;
  if (task == "refer" || task == "point" || task == "name") {
    const std::string thing = text_at(dialogue.extra, "name");
    if (thing.empty()) {
      skips_.add(skip::kBadDialogue, name, "no 'name' to score the answer by");
      return;
    }
    refer_[task].add({answer.text, thing, {}, text_at(dialogue.extra, "other")});
  } else if (task == "ground") {
    add_ground(question, answer, size);
  } else if (task == "ground_many") {
    add_many(question, answer, size);
  } else if (task == "exists") {
    const bool there = pope_says_yes(dialogue.turns.back().say);
    exists_[""].add(answer.text, there);
    const std::string kind = text_at(dialogue.extra, "absent");
    if (!kind.empty()) exists_[kind].add(answer.text, there);
  } else {
    Exact& exact = exact_[task];
    ++exact.n;
    exact.right += plain_phrase(answer.text) == plain_phrase(dialogue.turns.back().say) ? 1 : 0;
  }
}

void Scores::add_ground(const PictureQuestion& question, const Answer& answer, PictureSize size) {
  const Box& box = question.dialogue.boxes.front();
  ground_.add({answer.text, box, size}, frame_);
  true_boxes_.push_back(box);
}

void Scores::add_many(const PictureQuestion& question, const Answer& answer, PictureSize size) {
  const Dialogue& dialogue = question.dialogue;
  const auto phrases = dialogue.extra.find("phrases");
  if (phrases == dialogue.extra.end() || !phrases->is_array()) return;
  for (size_t i = 0; i < phrases->size() && i < dialogue.boxes.size(); ++i) {
    if (!(*phrases)[i].is_string()) continue;
    many_.add({answer.text, (*phrases)[i].get<std::string>(), {dialogue.boxes[i]}, size}, frame_);
  }
}

// What a model gets that says one box always: the mean of the true ones.
double Scores::constant_box() const {
  std::array<double, 4> sum{};
  for (const Box& box : true_boxes_) {
    const std::array<float, 4> sides = {box.x0, box.y0, box.x1, box.y1};
    for (size_t i = 0; i < 4; ++i) sum[i] += sides[i];
  }
  const auto n = static_cast<double>(true_boxes_.size());
  const auto mean = [&](size_t i) { return static_cast<float>(sum[i] / n); };
  const Box constant{mean(0), mean(1), mean(2), mean(3)};
  const auto right = std::count_if(true_boxes_.begin(), true_boxes_.end(),
                                   [&](const Box& box) { return iou(box, constant) >= 0.5F; });
  return static_cast<double>(right) / n;
}

Json Scores::json() const {
  Json result = Json::object();
  for (const char* task : kScored) {
    if (const auto it = refer_.find(task); it != refer_.end()) result[task] = it->second.json();
    if (const auto it = exact_.find(task); it != exact_.end()) result[task] = it->second.json();
  }
  if (ground_.n > 0) {
    result["ground"] = ground_.json();
    result["ground"]["constant_box"] = constant_box();
  }
  if (many_.n > 0) result["ground_many"] = many_.json();
  for (const auto& [kind, score] : exists_) {
    if (kind.empty()) {
      result["exists"] = score.json();
    } else {
      result["exists"][kind] = score.json();
    }
  }
  result["unended"] = unended_;
  return result;
}

bool has_room(const SequenceMaker& maker, const Dialogue& dialogue, PictureSize picture) {
  try {
    maker.ask(dialogue, picture);
    return true;
  } catch (const Error&) {  // its only one
    return false;
  }
}

std::string answer_line(const MllmModel& model, const PictureQuestion& question,
                        const Answer& answer, const std::string& name) {
  const Dialogue& dialogue = question.dialogue;
  const PictureSize size{question.picture->width, question.picture->height};
  const FrameOptions frame{.frame = model.settings.frame};
  const Turn& turn = dialogue.turns.back();
  const Json line = {{"sample", name},
                     {"task", dialogue.task},
                     {"ask", text_in_frame(turn.ask, dialogue, size, frame)},
                     {"say", text_in_frame(turn.say, dialogue, size, frame)},
                     {"answer", answer.text},
                     {"prompt_ids", answer.prompt},
                     {"ids", answer.ids},
                     {"ended", answer.ended}};
  return dump_json(line) + '\n';
}

}  // namespace

void check_scored_task(const std::string& task) {
  std::string known;
  for (const char* each : kScored) {
    if (task == each) return;
    known += (known.empty() ? "" : ", ") + std::string(each);
  }
  throw Error::input("'" + task + "' is no task that can be scored", "setting 'tasks'",
                     "give some of " + known);
}

Json evaluate_mllm(MllmModel& model, const std::string& data_glob, const MllmEvalOptions& options) {
  std::vector<std::string> wanted = options.tasks;
  for (const auto& task : wanted) check_scored_task(task);
  if (wanted.empty()) wanted.assign(kScored.begin(), kScored.end());
  SkipCounter skips;
  ShardOptions reader;
  reader.skip_bad_shards = options.skip_bad_shards;
  const auto shards = find_shards(data_glob, reader, skips);
  Scores scores(model, skips);
  const SequenceMaker maker(*model.tokenizer, model.sequence_options());
  std::vector<PictureQuestion> questions;
  std::vector<std::string> names;
  int64_t asked = 0, samples = 0;
  std::optional<ProgressBar> bar;
  if (options.progress) bar.emplace("answer", 0, "questions");
  std::optional<AtomicFile> file;
  if (!options.answers_file.empty()) file.emplace(options.answers_file);
  const auto ask = [&] {
    const auto answers = answer(model, questions, options.answers);
    for (size_t i = 0; i < questions.size(); ++i) {
      scores.add(questions[i], answers[i], names[i]);
      if (file) file->write(answer_line(model, questions[i], answers[i], names[i]));
    }
    asked += static_cast<int64_t>(questions.size());
    if (bar) bar->advance(static_cast<int64_t>(questions.size()));
    questions.clear();
    names.clear();
  };
  for_each_picture(shards, reader, options.threads, skips, [&](Pictured&& pictured) {
    if (options.max_samples > 0 && samples++ >= options.max_samples) return;
    std::shared_ptr<const Image> picture;
    for (auto& dialogue : read_dialogues(pictured.record, pictured.name, skips)) {
      if (std::find(wanted.begin(), wanted.end(), dialogue.task) == wanted.end()) continue;
      if (!has_room(maker, dialogue, {pictured.width, pictured.height})) {
        skips.add(skip::kNoRoom, pictured.name);
        continue;
      }
      if (!picture)
        picture = std::make_shared<Image>(Image::decode(pictured.record.image, pictured.name));
      questions.push_back({std::move(dialogue), picture});
      names.push_back(pictured.name);
    }
    if (questions.size() >= kAtATime) ask();
  });
  if (!questions.empty()) ask();
  if (bar) bar->finish();
  if (file) file->commit();
  if (asked == 0) {
    throw Error::input("no dialogue that can be scored", data_glob,
                       "make some with 'opencloc data dialogues'");
  }
  Json result = scores.json();
  result["skipped"] = skips.json();
  return result;
}

std::string mllm_results_table(const Json& results) {
  std::string table;
  for (const auto& [task, figures] : results.items()) {
    if (!figures.is_object() || task == "skipped") continue;
    table += fmt::format("  {:<12}", task);
    for (const auto& [name, value] : figures.items()) {
      if (value.is_number_float())
        table += fmt::format(" {} {:.3f} ", name, value.get<double>());
      else if (value.is_number_integer())
        table += fmt::format(" {} {} ", name, value.get<int64_t>());
      else if (value.is_object() && value.contains("accuracy"))
        table += fmt::format(" {} {:.3f} ", name, value["accuracy"].get<double>());
    }
    table += '\n';
  }
  return table;
}

}  // namespace opencloc
