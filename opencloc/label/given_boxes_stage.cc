// The stage that places given boxes in their pictures.
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "opencloc/data/import/frame.h"
#include "opencloc/image/exif.h"
#include "opencloc/label/given_boxes.h"

namespace opencloc {
namespace {

constexpr std::string_view kLowScore = "score below the threshold";

class GivenBoxesStage : public Stage {
 public:
  GivenBoxesStage(std::shared_ptr<GivenBoxes> boxes, float threshold, SkipCounter& skips)
      : boxes_(std::move(boxes)), threshold_(threshold), skips_(skips), before_(skips.counts()) {
    for (const auto& source : boxes_->sources())
      detector_ += (detector_.empty() ? "" : ", ") + source;
  }

  // The place of a detector's: `--stages detect` runs this one.
  std::string name() const override { return "detect"; }
  bool needs_images() const override { return true; }

  Json config() const override {
    return {{"detector", detector_},
            {"boxes", boxes_->config()},
            {"threshold", std::round(threshold_ * 1e4) / 1e4}};
  }

  void run(std::span<LabelSample> batch) override {
    for (auto& sample : batch) {
      const auto pictures = boxes_->find(sample, skips_);
      std::vector<Candidate> candidates;
      for (const GivenPicture* picture : pictures) place(*picture, sample, candidates);
      not_named_ += pictures.empty() ? 1 : 0;
      candidates_ += static_cast<int64_t>(candidates.size());
      store_candidates(sample, candidates);
      store_provenance(sample, name(), config());
    }
  }

  Json take_report() override {
    Json skipped = Json::object();
    const auto now = skips_.counts();
    for (const auto& [reason, count] : now) {
      const int64_t here = count - before_[reason];
      if (here > 0) skipped[reason] = here;
    }
    before_ = now;
    return {{"boxes", std::exchange(given_, 0)},
            {"images_not_in_the_boxes", std::exchange(not_named_, 0)},
            {"clipped", std::exchange(clipped_, 0)},
            {"skipped", skipped},
            {"candidates", std::exchange(candidates_, 0)}};
  }

 private:
  void place(const GivenPicture& picture, const LabelSample& sample,
             std::vector<Candidate>& candidates) {
    const StoredSize size{sample.image.width, sample.image.height,
                          exif_orientation(sample.record.image)};
    std::optional<Frame> frame;
    std::pair<float, float> frame_is_of(-1.0f, -1.0f);  // one frame for all boxes of one size
    for (const auto& given : picture.boxes) {
      ++given_;
      const std::string what = "'" + given.text + "' of " + picture.name;
      if (given.score < threshold_) {
        skips_.add(kLowScore, sample.name, fmt::format("{}: {:.3g}", what, given.score));
        continue;
      }
      Box unit = given.box;
      if (!given.in_unit) {
        const std::pair counted_in(given.width, given.height);
        if (frame_is_of != counted_in)
          frame = frame_of({given.width, given.height, sample.name}, size, skips_);
        frame_is_of = counted_in;
        if (!frame) {
          skips_.add(skip::kOtherSize, sample.name,
                     what + " is of a picture of another shape, " +
                         std::to_string(std::lround(given.width)) + "x" +
                         std::to_string(std::lround(given.height)));
          continue;
        }
        unit = to_unit(given.box, *frame);
      }
      const Box clipped = clip_to_unit(unit);
      if (clipped.area() <= 0) {
        skips_.add(skip::kEmptyBox, sample.name,
                   what + " lies outside the picture" +
                       (given.in_unit ? "; 'box' is in [0, 1], 'bbox_xyxy' in pixels" : ""));
        continue;
      }
      clipped_ += sticks_out(unit, size.width, size.height) ? 1 : 0;
      candidates.push_back({clipped, given.text, given.score, boxes_->sources().at(given.source)});
    }
  }

  const std::shared_ptr<GivenBoxes> boxes_;
  const float threshold_;
  SkipCounter& skips_;
  std::map<std::string, int64_t> before_;  // counts that are in a report already
  std::string detector_;
  int64_t given_ = 0, not_named_ = 0, clipped_ = 0, candidates_ = 0;
};

}  // namespace

std::unique_ptr<Stage> given_boxes_stage(std::shared_ptr<GivenBoxes> boxes, float threshold,
                                         SkipCounter& skips) {
  return std::make_unique<GivenBoxesStage>(std::move(boxes), threshold, skips);
}

}  // namespace opencloc
