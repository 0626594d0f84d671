// One training sample as it lies in a shard: KEY.jpg|png|webp + KEY.txt + KEY.json (spec: shards
// and records). Boxes are in [0, 1] of the stored image.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/image/box.h"

namespace opencloc {

struct Region {
  Box box;
  std::string text;
  float score = 1;
  std::string source;           // "human", "owlv2", "cloc", "scenes", ...
  Json extra = Json::object();  // unknown keys, kept when the record is rewritten
};

struct Record {
  std::string key;                    // e.g. "000000012"
  std::string extension;              // of the picture: "jpg", "png", "webp"
  std::string image;                  // the encoded picture's bytes
  std::string alt_text;               // KEY.txt, or "alt_text" of the JSON
  std::string caption;                // "caption" of the JSON
  std::vector<std::string> captions;  // "captions" of the JSON: alternatives of `caption`
  std::vector<Region> regions;
  std::optional<std::string> label;  // class name for zero-shot classification
  Json extra = Json::object();       // every other key of KEY.json, in order
};

// The text that stands for the whole image: caption, else the first of captions, else alt_text.
// Empty when the record has none.
std::string_view image_text(const Record& record);

}  // namespace opencloc
