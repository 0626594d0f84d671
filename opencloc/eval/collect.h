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
  int64_t text_id = 0;  // in the TextBank
  bool held_out = false;
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
  // Grounding: phrases that occur once in their picture.
  std::vector<Box> predicted_boxes;  // of the canvas
  std::vector<Box> true_boxes;
  int64_t repeated_phrases = 0;  // regions left out because their text is not unique
};

// What of it is wanted.
struct CollectOptions {
  std::vector<RegionMethod> methods = {};  // empty: no region embeddings
  bool texts = true;                       // captions and regions
  bool grounding = false;
  bool ground_by_search = false;
  bool penultimate = false;
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
