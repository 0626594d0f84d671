#include "opencloc/dialogue/questions.h"

#include <algorithm>
#include <array>

#include "opencloc/dialogue/words.h"

namespace opencloc {
namespace {

constexpr float kSameObject = 0.5f;  // boxes that overlap more may be one object
constexpr size_t kMostCounted = 20;
constexpr size_t kMostPhrases = 5;     // of one question
constexpr double kPointSpread = 0.15;  // of the side, as Ferret draws its points

std::string placeholder(const char* kind, size_t index) {
  return std::string("<") + kind + std::to_string(index) + ">";
}

// Names of which one is another form of the other, or a part of its letters: no fair choice, and
// Ferret's rule could not tell them apart.
bool alike(const std::string& a, const std::string& b) {
  return a.find(b) != std::string::npos || b.find(a) != std::string::npos ||
         has_all_words(stems_of(a), stems_of(b)) || has_all_words(stems_of(b), stems_of(a));
}

bool holds(const Box& box, const PicturePoint& point) {
  return point.x >= box.x0 && point.x <= box.x1 && point.y >= box.y0 && point.y <= box.y1;
}

PicturePoint point_in(const Box& box, Rng& rng) {
  const double x = (box.x0 + box.x1) / 2, y = (box.y0 + box.y1) / 2;
  for (int draw = 0; draw < 100; ++draw) {
    const PicturePoint point{static_cast<float>(x + kPointSpread * box.width() * rng.normal()),
                             static_cast<float>(y + kPointSpread * box.height() * rng.normal())};
    if (holds(box, point)) return point;
  }
  return {static_cast<float>(x), static_cast<float>(y)};
}

// Whether `name` could be said of the place that is asked for.
bool could_be(const LabelledPicture& scene, const std::string& name, const Box& box,
              const PicturePoint* point) {
  return std::ranges::any_of(scene.things, [&](const Thing& thing) {
    const bool there =
        point != nullptr ? holds(thing.box, *point) : iou(thing.box, box) > kSameObject;
    return there && alike(thing.name, name);
  });
}

// The wrong one of two: half of the time something else of the picture, so that looking at the
// whole picture does not answer.
std::optional<std::string> wrong_name(const LabelledPicture& scene, const Thing& thing,
                                      const PicturePoint* point, const Vocabulary& vocabulary,
                                      Rng& rng) {
  const auto fits = [&](const std::string& name) {
    return !alike(name, thing.name) && !could_be(scene, name, thing.box, point);
  };
  std::vector<std::string> near;
  for (const Thing& other : scene.things)
    if (fits(other.name)) near.push_back(other.name);
  if (!near.empty() && rng.chance(0.5)) return near[rng.below(near.size())];
  for (int draw = 0; draw < 100 && vocabulary.size() > 0; ++draw) {
    const std::string& name = vocabulary.names()[rng.below(vocabulary.size())];
    if (fits(name)) return name;
  }
  if (near.empty()) return std::nullopt;
  return near[rng.below(near.size())];
}

std::optional<Question> choice(const LabelledPicture& scene, bool by_point,
                               const QuestionContext& context, Rng& rng) {
  if (scene.things.empty()) return std::nullopt;
  const Thing& thing = scene.things[rng.below(scene.things.size())];
  Question question;
  question.boxes = {thing.box};
  if (by_point) question.points = {point_in(thing.box, rng)};
  const auto other = wrong_name(scene, thing, by_point ? question.points.data() : nullptr,
                                context.vocabulary, rng);
  if (!other) return std::nullopt;
  question.slots = {{by_point ? "point" : "box", placeholder(by_point ? "point" : "box", 0)},
                    {"a", context.truth_first ? thing.name : *other},
                    {"b", context.truth_first ? *other : thing.name}};
  question.say = thing.name;
  question.extra = {{"name", thing.name}, {"other", *other}};
  return question;
}

std::optional<Question> naming(const LabelledPicture& scene, Rng& rng) {
  if (scene.things.empty()) return std::nullopt;
  const Thing& thing = scene.things[rng.below(scene.things.size())];
  Question question;
  question.boxes = {thing.box};
  question.slots = {{"box", placeholder("box", 0)}};
  question.say = thing.name;
  question.extra = {{"name", thing.name}};
  return question;
}

std::optional<Question> ground(const LabelledPicture& scene, Rng& rng) {
  const std::vector<size_t> apart = told_apart(scene);
  if (apart.empty()) return std::nullopt;
  const Thing& thing = scene.things[apart[rng.below(apart.size())]];
  Question question;
  question.boxes = {thing.box};
  question.slots = {{"phrase", thing.phrase}};
  question.say = thing.phrase + " <box0>.";
  question.extra = {{"phrases", {thing.phrase}}};
  return question;
}

std::optional<Question> ground_many(const LabelledPicture& scene, Rng& rng) {
  std::vector<size_t> apart = told_apart(scene);
  if (apart.size() < 2) return std::nullopt;
  rng.shuffle(apart);
  const size_t most = std::min(apart.size(), kMostPhrases);
  apart.resize(2 + rng.below(most - 1));
  Question question;
  std::string phrases;
  Json& list = question.extra["phrases"] = Json::array();
  for (const size_t one : apart) {
    const Thing& thing = scene.things[one];
    const std::string comma = phrases.empty() ? "" : ", ";
    phrases += comma + thing.phrase;
    question.say += comma + thing.phrase + " " + placeholder("box", question.boxes.size());
    question.boxes.push_back(thing.box);
    list.push_back(thing.phrase);
  }
  question.say += ".";
  question.slots = {{"phrases", phrases}};
  return question;
}

std::optional<Question> exists(const LabelledPicture& scene, const QuestionContext& context,
                               Rng& rng) {
  if (scene.things.empty()) return std::nullopt;  // nobody has looked what is in the picture
  std::string kind(context.absent_kind);
  std::string name = scene.things[rng.below(scene.things.size())].name;
  if (!context.is_there) {
    const auto absent = absent_name(scene, context.vocabulary, kind, rng);
    if (!absent) return std::nullopt;
    name = *absent;
  }
  Question question;
  question.slots = {{"name", name}};
  question.say = context.is_there ? "Yes" : "No";
  question.extra = {{"name", name}, {"absent", kind}};
  return question;
}

// How often each name is there, without names that cannot be counted: two of its boxes lie on one
// another, or another name may be the same thing ("bus", "red bus").
std::map<std::string, size_t> countable(const LabelledPicture& scene) {
  std::map<std::string, size_t> counts;
  for (const Thing& thing : scene.things) ++counts[thing.name];
  std::erase_if(counts, [&scene](const auto& entry) {
    const auto& [name, count] = entry;
    if (count > kMostCounted) return true;
    for (const Thing& a : scene.things) {
      if (a.name != name && alike(a.name, name)) return true;
      if (a.name != name) continue;
      for (const Thing& b : scene.things)
        if (&a != &b && b.name == name && iou(a.box, b.box) > kSameObject) return true;
    }
    return false;
  });
  return counts;
}

// The number first, so that "1" is not nearly always right, then a name that is there so often.
std::optional<Question> count(const LabelledPicture& scene, Rng& rng) {
  std::map<size_t, std::vector<std::string>> by_count;
  for (const auto& [name, times] : countable(scene)) by_count[times].push_back(name);
  if (by_count.empty()) return std::nullopt;
  const auto& [times, names] =
      *std::next(by_count.begin(), static_cast<std::ptrdiff_t>(rng.below(by_count.size())));
  const std::string& name = names[rng.below(names.size())];
  Question question;
  question.slots = {{"name", name}};
  question.say = std::to_string(times);
  question.extra = {{"name", name}};
  return question;
}

std::optional<Question> relation(const LabelledPicture& scene, const QuestionContext& context,
                                 Rng& rng) {
  struct Side {
    size_t a, b;
    const char *is, *is_not;
  };
  std::vector<Side> sides;
  const std::vector<size_t> apart = told_apart(scene);
  for (const size_t a : apart) {
    for (const size_t b : apart) {
      const Box &first = scene.things[a].box, &second = scene.things[b].box;
      if (first.x1 < second.x0) {
        sides.push_back({a, b, "left of", "right of"});
        sides.push_back({b, a, "right of", "left of"});
      }
      if (first.y1 < second.y0) {
        sides.push_back({a, b, "above", "below"});
        sides.push_back({b, a, "below", "above"});
      }
    }
  }
  if (sides.empty()) return std::nullopt;
  const Side& side = sides[rng.below(sides.size())];
  Question question;
  question.slots = {{"first", scene.things[side.a].phrase},
                    {"one", context.truth_first ? side.is : side.is_not},
                    {"other", context.truth_first ? side.is_not : side.is},
                    {"second", scene.things[side.b].phrase}};
  question.say = side.is;
  question.extra = {{"other", side.is_not}};
  return question;
}

std::optional<Question> caption(const LabelledPicture& scene) {
  if (scene.caption.empty()) return std::nullopt;
  Question question;
  question.say = scene.caption;
  return question;
}

}  // namespace

std::vector<size_t> told_apart(const LabelledPicture& scene) {
  std::vector<size_t> apart;
  for (size_t i = 0; i < scene.things.size(); ++i) {
    const Thing& thing = scene.things[i];
    bool alone = thing.phrase.find_first_of(".,;!?") == std::string::npos;
    for (size_t j = 0; alone && j < scene.things.size(); ++j)
      alone = i == j || !has_all_words(scene.things[j].phrase_stems, thing.phrase_stems);
    if (alone) apart.push_back(i);
  }
  return apart;
}

std::optional<Question> make_question(std::string_view task, const LabelledPicture& scene,
                                      const QuestionContext& context, Rng& rng) {
  if (task == "refer") return choice(scene, false, context, rng);
  if (task == "point") return choice(scene, true, context, rng);
  if (task == "name") return naming(scene, rng);
  if (task == "ground") return ground(scene, rng);
  if (task == "ground_many") return ground_many(scene, rng);
  if (task == "exists") return exists(scene, context, rng);
  if (task == "count") return count(scene, rng);
  if (task == "relation") return relation(scene, context, rng);
  if (task == "caption") return caption(scene);
  return std::nullopt;
}

}  // namespace opencloc
