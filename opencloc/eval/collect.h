// The one pass over the data: everything the tasks need, encoded.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "opencloc/encode/regions.h"
#include "opencloc/encode/text_bank.h"
#include "opencloc/eval/evaluate.h"
#include "opencloc/eval/row_store.h"
#include "opencloc/eval/sample_reader.h"

namespace opencloc {

struct CollectedRegion {
  int64_t image = 0;    // row of the picture
  int64_t text_id = 0;  // in the TextBank; -1: a distractor
  bool held_out = false;
  double area = 0;        // square pixels of the stored picture
  std::string frequency;  // LVIS's "r", "c", "f", or empty
};

struct CollectedChoice {
  int64_t image = 0;
  int64_t region = -1;  // row of the region; -1: the choice is the picture's
  int64_t text_id = 0;
  std::vector<int64_t> negatives;  // text ids
  std::string kind;
};

// One picture of Winoground's pairs.
struct CollectedPair {
  std::string name;
  int64_t image = 0;
  int64_t text_id = 0;
};

struct CollectedCaption {
  int64_t image = 0;
  int64_t text_id = 0;
};

struct Collected {
  int64_t images = 0;
  RowStore image_embeds;                           // [images, E], L2-normalised
  std::vector<std::optional<std::string>> labels;  // images
  std::vector<std::optional<std::string>> groups;  // images: "group" of the records
  std::vector<std::optional<std::string>> values;  // images: SampleReaderOptions::value_key
  std::vector<CollectedCaption> captions;
  std::vector<CollectedRegion> regions;
  std::map<RegionMethod, RowStore> region_embeds;  // [regions, E] each, L2-normalised
  RowStore region_quality;  // [regions, 1], predicted IoUs; with CollectOptions::quality
  std::vector<CollectedChoice> choices;
  std::vector<CollectedPair> pairs;
  // Grounding: phrases that occur once in their picture, or all.
  std::vector<Box> predicted_boxes;  // of the canvas
  std::vector<Box> true_boxes;
  std::vector<std::vector<Box>> any_boxes;  // of a phrase, where it has several
  int64_t repeated_phrases = 0;             // regions left out because their text is not unique
};

// What of it is wanted.
struct CollectOptions {
  std::vector<RegionMethod> methods = {};  // empty: no region embeddings
  bool texts = true;                       // captions and regions
  bool grounding = false;
  bool ground_by_search = false;  // in place of the box head
  bool every_phrase = false;      // of grounding
  bool choices = false;           // choices and pairs
  bool lower_case = false;        // of their texts
  bool quality = false;           // by the Prompter's embeddings and the quality head
  RegionBatching batching = {};
  bool progress = true;
  const char* name = "evaluate";        // of the progress bar
  dist::Group* group = &dist::alone();  // the reader's
};

// Reads all samples. `texts` receives the captions and region texts, where they are wanted. A call
// of all processes of the group, each of which encodes its own batches and gets the rows of all.
Collected collect(Cloc& model, SampleReader& reader, TextBank& texts,
                  const CollectOptions& options);

}  // namespace opencloc
