// What evaluation takes of a record: its texts, its boxes, and the choices between texts.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <torch/types.h>

#include "opencloc/base/json.h"
#include "opencloc/data/shard/record.h"
#include "opencloc/image/box.h"
#include "opencloc/image/image.h"

namespace opencloc {

// A right text against wrong ones: "negatives" of a region, or of the record for its caption; more
// of them for a picture in the record's "choices": [{"text", "negatives", "kind"}].
struct EvalChoice {
  std::string text;
  std::vector<std::string> negatives;  // at least one
  std::string kind;                    // "swap_att"; empty where none is given
};

struct EvalRegion {
  Box image_box;          // in [0, 1] of the picture
  Box canvas_box;         // in [0, 1] of the canvas, clipped to it
  std::string text;       // empty: a distractor, a box among which the right one must be found
  bool held_out = false;  // the name was kept out of training
  double area = 0;        // of the box, pixels of the stored picture
  std::string frequency;  // LVIS's "r", "c", "f" of the class; else empty
  std::vector<std::string> negatives = {};
  std::string kind = {};
  // Where one phrase has several boxes, of which image_box is the one around them: "boxes" of the
  // region, on the canvas.
  std::vector<Box> any_boxes = {};
};

struct EvalSample {
  torch::Tensor pixels;               // [3, S, S]
  Image image;                        // the whole picture; empty unless keep_images
  std::vector<std::string> captions;  // distinct; alt-text only where there is nothing else
  std::optional<std::string> label;
  std::optional<std::string> group;  // the record's "group"
  std::optional<std::string> value;  // of SampleReaderOptions::value_key
  std::vector<EvalRegion> regions;
  std::vector<EvalChoice> choices;  // of the picture
  // Two pictures with the same "pair" and a caption each are Winoground's examples.
  std::optional<std::string> pair;
};

// The texts under "negatives" of a record's or region's keys; empty where there are none.
std::vector<std::string> negatives_of(const Json& keys);
// The choices that a record gives for its picture.
std::vector<EvalChoice> choices_of(const Record& record);

// What other processes need of samples, which is all but pixels and pictures: every bit of floats
// and texts.
std::string packed(const std::vector<EvalSample>& samples);
std::vector<EvalSample> unpacked(const std::string& bytes);

}  // namespace opencloc
