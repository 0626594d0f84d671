// The flags of `label`, and the stages they ask for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "opencloc/cli/verb.h"
#include "opencloc/label/caption_stage.h"
#include "opencloc/label/given_boxes.h"
#include "opencloc/label/linker.h"
#include "opencloc/label/phrases.h"
#include "opencloc/label/pipeline.h"
#include "opencloc/label/prototypes.h"
#include "opencloc/label/select.h"

namespace opencloc::cli {

struct LabelFlags {
  CommonFlags common;
  std::string data;
  std::string texts;
  std::string tensors;
  std::string out;
  std::vector<std::string> stages = {"caption", "phrases", "detect", "select"};
  bool stages_named = false;
  bool json = false;

  std::string text_from = "caption";
  std::string captioner_place;  // a URL, or a model directory
  HttpCaptionerOptions captioner;
  int64_t captioner_max_tokens = 0;
  int64_t captioner_beams = 1;
  std::string prompt_file;
  std::string key_variable;
  CaptionStageOptions caption;

  std::string phrases = "noun";
  PhraseOptions noun;
  NgramOptions ngrams;

  std::string detector;
  std::string detector_kind = "owlv2";
  std::vector<std::string> boxes;  // files, in place of a detector
  std::string boxes_annotations;
  std::string labeller;
  std::string tokenizer;
  std::string precision = "fp32";
  int64_t resolution = 448;
  double threshold = -1;  // below 0: the detector's usual one
  double nms_iou = 0.5;
  double smallest = 0;
  SelectStageOptions select;

  std::string entities;  // a base of entities
  std::string clip;
  std::string link = "prior:1,context:1,image:1";
  std::string min_image_score = "p95";
  std::string mentions_from = "chosen";
  std::vector<std::string> image_evidence = {"prototype", "type", "text"};
  LinkOptions linking;
  PrototypeOptions prototypes;
  std::string against;

  LabelOptions run;
  int64_t shard_index = -1;
  int64_t shard_count = -1;
};

void add_label_flags(CLI::App& app, LabelFlags& flags);

// The boxes of --boxes; null without. What cannot be used of them is counted in `skips`.
std::shared_ptr<GivenBoxes> read_given_boxes(const LabelFlags& flags, SkipCounter& skips);
// The least score of a region that is usual for a kind of detector.
double usual_threshold(const std::string& detector_kind);
std::shared_ptr<const PhraseExtractor> make_extractor(const LabelFlags& flags);
// In their order, whatever the order they were named in. `boxes` (of read_given_boxes()) take the
// place of the detector. Throws Error (input).
std::vector<std::unique_ptr<Stage>> make_stages(const LabelFlags& flags,
                                                const std::shared_ptr<GivenBoxes>& boxes,
                                                SkipCounter& skips);
std::unique_ptr<Stage> make_caption_stage(const LabelFlags& flags);
bool wants_stage(const LabelFlags& flags, const char* stage);

// label_entities.cc
void add_entity_flags(CLI::App& app, LabelFlags& flags);
// The stages mentions and link, as far as they are wanted. Prototypes of entities are made here,
// from the shards of `options`, or read from its folder.
void add_entity_stages(const LabelFlags& flags, const LabelOptions& options,
                       std::vector<std::unique_ptr<Stage>>& stages);
// --against: prints how well the entities in --data were linked.
void print_link_evaluation(const LabelFlags& flags);

}  // namespace opencloc::cli
