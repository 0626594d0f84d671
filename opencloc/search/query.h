// What is searched for, as a vector: a phrase, a picture, a part of a picture, something of the
// index, or ready numbers.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "opencloc/api/opencloc.h"
#include "opencloc/index/search.h"

namespace opencloc {

// Exactly one of phrase, image, stored and embedding; of box, point, mask and part at most one,
// with an image.
struct QuerySpec {
  std::string phrase;
  std::string image;           // a picture file
  std::optional<Box> box;      // in [0, 1] of the picture
  std::optional<Point> point;  // in [0, 1] of the picture
  std::string mask;            // a picture of any size over the whole of it: what is brighter than
                               // half is inside
  std::string part;            // a phrase that says where to look in the picture
  std::string stored;          // "7": picture 7 of the index; "7:2": its region 2
  std::string embedding;       // a .npy file, or JSON with a list of numbers

  bool needs_model() const { return !phrase.empty() || !image.empty(); }
};

struct QueryVector {
  std::vector<float> vector;  // [E], unit length
  // What it is most like, and so what it is usually compared with: whole pictures or regions.
  SearchUnit unit = SearchUnit::kRegion;
};

// Turns queries into vectors of an index's model.
class QueryEncoder {
 public:
  // Loads the model when it is needed first: the one that the index names, or `model`. `index`
  // outlives the encoder.
  QueryEncoder(const IndexStore& index, std::string model, LoadOptions options);
  ~QueryEncoder();

  // Throws Error (input) for a specification that is not as said above, a model that is not the
  // index's, pictures that do not decode and ids that are not there.
  QueryVector encode(const QuerySpec& spec);

 private:
  const Model& model();
  QueryVector of_image(const QuerySpec& spec);
  QueryVector of_stored(const std::string& id) const;

  const IndexStore& index_;
  const std::string path_;
  const LoadOptions options_;
  std::unique_ptr<Model> model_;
};

}  // namespace opencloc
