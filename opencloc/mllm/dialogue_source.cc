#include "opencloc/mllm/dialogue_source.h"

#include <utility>
#include <vector>

#include "opencloc/model/mllm/region_sampler.h"

namespace opencloc {

DialogueSource::DialogueSource(const Tokenizer& tokenizer, DialogueSourceOptions options,
                               SkipCounter& skips)
    : options_(options), maker_(tokenizer, options.sequence), skips_(skips) {}

namespace {

// The pixels about a point, cut at the picture's edges.
Box around(const Box& point, int width, int height) {
  constexpr float kHalf = 5.5F;
  const float x = kHalf / static_cast<float>(width), y = kHalf / static_cast<float>(height);
  return clip_to_unit({point.x0 - x, point.y0 - y, point.x0 + x, point.y0 + y});
}

}  // namespace

PreparedSequence prepared(Sequence sequence, int width, int height, int64_t cloud_points,
                          Rng& rng) {
  PreparedSequence result;
  result.ids = std::move(sequence.ids);
  result.learned = std::move(sequence.learned);
  for (const SequenceRegion& region : sequence.regions) {
    PreparedSequence::Region named{.box = region.box, .is_point = region.is_point, .cloud = {}};
    if (cloud_points > 0) {
      const Box box = region.is_point ? around(region.box, width, height) : region.box;
      named.cloud =
          points_in_box({box.x0, box.y0, box.x1, box.y1}, width, height, cloud_points, rng);
    }
    result.regions.push_back(std::move(named));
  }
  return result;
}

PreparedSequence DialogueSource::make(const Record& record, const std::string& name, int width,
                                      int height, Rng& rng) const {
  auto dialogues = read_dialogues(record, name, skips_);
  rng.shuffle(dialogues);
  const auto most = static_cast<size_t>(options_.dialogues);
  if (most > 0 && dialogues.size() > most) dialogues.resize(most);
  Sequence sequence = maker_.learn(dialogues, {width, height});
  for (int64_t i = 0; i < sequence.turns_left_out; ++i) skips_.add(skip::kNoRoom, name);
  if (sequence.turns == 0) {
    throw BadSample(
        skip::kNoDialogue,
        dialogues.empty() ? "no dialogue of use" : "no question and answer fits into the context",
        name);
  }
  return prepared(std::move(sequence), width, height, options_.cloud_points, rng);
}

}  // namespace opencloc
