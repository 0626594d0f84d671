// What was added to an index and is not committed yet.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "opencloc/image/box.h"
#include "opencloc/index/catalog.h"

namespace opencloc {

struct NewRegion {
  Box box;
  std::string text;
  std::vector<float> vector;  // [E], unit length
  // In [0, 1]: how well the box holds one object. None: the model does not say.
  std::optional<float> quality = std::nullopt;
};

struct NewPicture {
  PictureName name;
  std::string digest;  // SHA-256 of its bytes, hexadecimal
  int64_t width = 0, height = 0;
  std::string caption;
  std::vector<float> vector;  // [E], of the whole picture, unit length
  std::vector<NewRegion> regions;
};

// Throws Error (input) for vectors of another width, and for numbers that are not finite.
void require_vectors(const NewPicture& picture, int64_t width);

// Everything but the vectors.
struct PendingPictures {
  std::vector<CatalogPicture> pictures;
  std::vector<PictureName> names;
  std::vector<std::pair<int64_t, RegionText>> texts;        // picture, text
  std::unordered_map<std::string, int64_t> by_digest = {};  // -> picture

  // Under the number `id`.
  void add(const NewPicture& picture, int64_t id);
  // Another name of content that waits here, or that `catalog` has. Throws Error (failed) when
  // neither is so.
  void add_name(const PictureName& name, const std::string& digest, PictureCatalog& catalog);
  bool empty() const { return pictures.empty() && names.empty(); }
};

}  // namespace opencloc
