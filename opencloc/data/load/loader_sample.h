// From a drawn sample to what a batch holds of it: picture on the canvas, one image text, at most M
// regions. Every random choice comes from the sample's own stream, Rng(seed, {source, epoch,
// index}), so that it depends on the draw alone.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "opencloc/base/rng.h"
#include "opencloc/data/load/box_crops.h"
#include "opencloc/data/load/entity_labels.h"
#include "opencloc/data/load/loader_store.h"
#include "opencloc/data/load/rated_boxes.h"
#include "opencloc/data/load/sampler.h"
#include "opencloc/data/load/sequence_source.h"
#include "opencloc/image/augment.h"
#include "opencloc/image/canvas.h"
#include "opencloc/image/photometric.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

inline constexpr double kLeastScore = 1e-3;  // what lower scores count as
inline constexpr int kMaskPoints = 8;        // K: points sampled inside a mask prompt

// What the entities of a picture are for: at most for its text; a loss beside others, which also
// pictures without a text have; or the only loss, so that pictures without one are of no use.
enum class EntityLossUse { kNone, kBeside, kOnly };

// What the score of a region in the data is for: nothing; how much it counts
// (Batch::region_weight); or how likely it is among the M regions of its picture.
enum class RegionScore { kOff, kWeight, kSample };

struct SampleOptions {
  CanvasOptions canvas;
  AugmentOptions crop;      // random resized crop and flip ...
  bool augment = true;      // ... unless off
  bool jpeg_draft = false;  // decode JPEGs smaller where the canvas does not need all of them
  BoxFilter box_filter;     // regions of which the canvas keeps too little are dropped
  int64_t context_length = 77;
  int64_t regions_per_image = 4;  // M; 0 = none
  RegionScore region_score = RegionScore::kOff;
  int64_t hard_negatives = 0;  // of a region's "negatives", at most so many are drawn

  double mosaic = 0;  // share of samples made of mosaic_grid^2 samples of the same source
  int mosaic_grid = 2;

  CaptionFrom caption_from = CaptionFrom::kCaption;
  double alt_text = 0;  // share of samples that take the alt-text where there is a caption too
  double phrase = 0;    // share of regions that take their extra "phrase" where there is one

  double point_prompts = 0;  // share of regions prompted by a point inside the box
  double mask_prompts = 0;   // share of regions prompted by a (synthetic) mask inside the box

  // Samples are pictures with these sequences, whole on their canvas; all that is said above of
  // crops, captions and regions is for others.
  std::shared_ptr<const SequenceSource> sequences;

  // Of kEntities, and for classes in the batch.
  std::shared_ptr<const EntityLabels> entities;
  EntityLossUse entity_loss = EntityLossUse::kNone;

  // For masked learning: patches along the canvas's side whose order is drawn, and whether that of
  // the words is; 0, false = none.
  int64_t ordered_grid = 0;
  bool ordered_words = false;
  // For SimCLR: two more crops of each picture, with other colours.
  bool views = false;
  AugmentOptions view_crop{.scale_min = 0.08, .flip_probability = 0.5};  // SLIP's
  PhotometricOptions view_colours;
  // One more crop of each picture, drawn and put on the canvas as `crop` says, also with `augment`
  // off.
  bool captioned_view = false;
  bool pictures_alone = false;  // pictures without any text serve, too

  // For crop distillation: so many boxes of each canvas are cut out, whether it has regions or not,
  // each onto a square of crop_size pixels; 0 = none.
  int64_t box_crops = 0;
  int crop_size = 0;

  int64_t rated_boxes = 0;  // for the quality head, of each canvas with regions; 0 = none

  // For experiments: noise as in pseudo-labels, the same in every epoch.
  double box_jitter = 0;   // standard deviation of every side's place, as a share of that side
  double label_noise = 0;  // share of regions that carry the text of a region from elsewhere

  // Throws Error (input) naming the setting that makes no sense.
  void validate() const;
};

// Throws BadSample (no text, no entity) where nothing is to be learned from a picture with the text
// `text` and so many classes: one without a text leaves L_CLIP, but its regions, its entity or,
// where `pictures_alone`, the picture itself may train.
struct Learnable {
  std::string_view text;
  size_t classes = 0;
};
void require_learnable(const Record& record, const Learnable& what, const SampleOptions& options,
                       const std::string& where);
// A text that the picture may get, for a look at the data; empty: it has none. Throws BadSample.
std::string example_text(const Record& record, const SampleOptions& options, Rng& rng);
// All texts that it may get. Throws BadSample.
std::vector<std::string> possible_texts(const Record& record, const SampleOptions& options);

struct PreparedRegion {
  Box box;  // of the canvas
  std::string text;
  TokenizedText tokens;
  bool names_one_box = true;  // no other box of the canvas has this text
  float score = 1;
  std::vector<std::string> wrong_texts;  // its "negatives", until some are drawn
  std::vector<TokenizedText> negatives;
  int64_t prompt_kind = 0;                                 // PromptKind: 0 box, 1 point, 2 mask
  std::array<std::array<float, 2>, kMaskPoints> points{};  // x, y inside the box
  std::vector<std::array<float, 2>> cloud;                 // of a sequence's region, of the canvas
};

struct PreparedSample {
  std::string name;  // "shard.tar#key"
  Image canvas;
  std::string text;  // may be empty where there are regions
  TokenizedText tokens;
  std::vector<PreparedRegion> regions;
  std::vector<RatedBox> rated;
  std::vector<BoxCrop> crops;
  int64_t entity = -1;                  // class that was drawn; -1: none
  std::vector<int64_t> other_entities;  // what else is true: never that one
  int64_t unknown_entities = 0;         // that are no classes
  Box content = {0, 0, 1, 1};           // of the canvas: what is not padding
  std::vector<float> patch_order;       // as in Batch
  std::vector<float> word_order;
  std::vector<Image> views;       // none or two
  std::vector<Image> captioned;   // none or one: SampleOptions::captioned_view
  std::vector<int32_t> sequence;  // with SampleOptions::sequences, and what of it is learned
  std::vector<uint8_t> learned;
  std::vector<RecordProblem> problems;  // what of it could not be used
};

// A picture and a sequence about it, whole on the canvas, the sequence's regions and points along.
PreparedSample on_canvas(const Image& image, PreparedSequence sequence,
                         const CanvasOptions& canvas);

// Thread-safe. `store` and `tokenizer` outlive it.
class SampleMaker {
 public:
  SampleMaker(const SampleStore& store, const Tokenizer& tokenizer, SampleOptions options,
              uint64_t seed);
  // Throws BadSample: a picture that does not decode, no text, ...
  PreparedSample make(const Draw& draw) const;

 private:
  struct Picture {  // a record, decoded
    std::string name;
    Image image;
    std::string text;
    std::vector<Region> regions;
    int64_t entity = -1;                  // class that was drawn
    std::vector<int64_t> other_entities;  // classes
    int64_t unknown_entities = 0;
    std::vector<RecordProblem> problems;
  };
  DecodeOptions decoding() const;
  Picture load(const Draw& draw, Rng& rng) const;
  void draw_entity(const Draw& draw, const Record& record, Picture& picture) const;
  void add_noise(int source, uint64_t index, std::vector<Region>& regions) const;
  std::string text_from_elsewhere(int source, const std::string& own, Rng& rng) const;
  PreparedSample with_sequence(const Draw& draw, Rng& rng) const;
  PreparedSample from_picture(const Draw& draw, Picture picture, Rng& rng) const;
  PreparedSample from_mosaic(const Draw& draw, Picture first, Rng& rng) const;
  void add_regions(const std::vector<Region>& regions, const MappedBoxes& mapped,
                   PreparedSample& sample) const;
  void tokenize_texts(PreparedSample& sample) const;
  void choose(PreparedSample& sample, Rng& rng) const;
  void draw_negatives(const Draw& draw, PreparedSample& sample) const;
  void add_rated_boxes(const Draw& draw, PreparedSample& sample) const;
  void add_orders(const Draw& draw, PreparedSample& sample) const;
  void add_views(const Draw& draw, const Image& image, PreparedSample& sample) const;
  // Before the choice of regions: a crop may hold any of them.
  void add_box_crops(const Draw& draw, const Image& image, const CanvasMap& map,
                     PreparedSample& sample) const;

  const SampleStore& store_;
  const Tokenizer& tokenizer_;
  const SampleOptions options_;
  const uint64_t seed_;
};

}  // namespace opencloc
