#include "opencloc/index/pending.h"

#include <algorithm>
#include <cmath>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

void require_vector(const std::vector<float>& vector, int64_t width, const std::string& name) {
  if (static_cast<int64_t>(vector.size()) != width) {
    throw Error::input("a vector of " + std::to_string(vector.size()) +
                           " numbers for an index of " + std::to_string(width),
                       name, "use the model that the index was made with");
  }
  if (!std::all_of(vector.begin(), vector.end(), [](float x) { return std::isfinite(x); })) {
    throw Error::input("the model gives embeddings that are not finite numbers", name,
                       "use an earlier checkpoint");
  }
}

}  // namespace

void require_vectors(const NewPicture& picture, int64_t width) {
  require_vector(picture.vector, width, picture.name.name);
  for (const NewRegion& region : picture.regions) {
    require_vector(region.vector, width, picture.name.name);
    if (!std::isfinite(region.quality.value_or(1))) {
      throw Error::input("the model gives qualities that are not finite numbers", picture.name.name,
                         "use an earlier checkpoint");
    }
  }
}

void PendingPictures::add(const NewPicture& picture, int64_t id) {
  for (size_t i = 0; i < picture.regions.size(); ++i) {
    const NewRegion& region = picture.regions[i];
    if (!region.text.empty())
      texts.emplace_back(id, RegionText{static_cast<int64_t>(i) + 1, region.text});
  }
  pictures.push_back({id, picture.digest, picture.width, picture.height,
                      static_cast<int64_t>(picture.regions.size()) + 1, picture.caption});
  by_digest[picture.digest] = id;
  names.push_back(picture.name);
  names.back().picture = id;
}

void PendingPictures::add_name(const PictureName& name, const std::string& digest,
                               PictureCatalog& catalog) {
  PictureName named = name;
  const auto waiting = by_digest.find(digest);
  if (waiting != by_digest.end()) {
    named.picture = waiting->second;
  } else if (const auto known = catalog.picture_of_digest(digest)) {
    named.picture = *known;
  } else {
    throw Error::failed("no picture of this content is in the index", name.name);
  }
  names.push_back(std::move(named));
}

}  // namespace opencloc
