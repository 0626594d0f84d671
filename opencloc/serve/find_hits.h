// A search from its query to the pictures' rows.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "opencloc/serve/embed.h"
#include "opencloc/serve/service.h"

namespace opencloc::serve {

// What is searched for: one of them.
struct HitQuery {
  std::optional<EmbedItem> item = std::nullopt;  // a text, a picture, a part of a picture
  ScenePtr scene = nullptr;                      // with `prompt`
  Prompt prompt = {};
  std::string stored = {};         // "7", "7:2"
  std::vector<float> vector = {};  // any length but zero
  std::string param = {};          // its place in the request
};

struct FoundHits {
  SearchResult result;
  SearchOptions options;
  std::unordered_map<int64_t, PictureEntry> entries;  // of the hits and their duplicates
  double encode_ms = 0, search_ms = 0, rows_ms = 0;   // waiting included
  // An empty one for what was removed meanwhile.
  const PictureEntry& entry(int64_t picture) const;
};

// `unit` none: regions, or whole pictures where the query is one. Call it on `front` or
// `decoding`; `then` runs on `front`.
void find_hits(Service& service, const CallPtr& call, ServedIndex& index, HitQuery query,
               std::optional<SearchUnit> unit, SearchOptions options,
               std::function<void(FoundHits&)> then);

// [E] of a request, checked and brought to unit length. Throws Refused.
std::vector<float> vector_of(const Json& value, int width, const std::string& param);
// "a.jpg" of "/home/me/a.jpg", "s.tar#key" of "/data/s.tar#key": no folder of ours is told.
std::string shown_picture_name(const PictureName& name);
// Where a picture of an index is shown.
std::string picture_address(const Service& service, const ServedIndex& index, int64_t id);

}  // namespace opencloc::serve
