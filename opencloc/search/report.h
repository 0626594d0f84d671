// What a search found, for programs and for people.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "opencloc/base/json.h"
#include "opencloc/data/shard/skips.h"
#include "opencloc/index/search.h"

namespace opencloc {

// {"scanned", "median", "deviation", "cut": {"mode", "z", "calibrated" (of mode auto), "below"},
// "folded", "hits": [{"id", "name", "names", "width", "height", "rank", "score", "z", "region",
// "box", "text", "caption", "cosine", "quality" (both of regions whose quality is known),
// "regions": [{"region", "box", "score", "z", "text"}], "duplicates": [{"id", "name"}]}]}
Json search_json(IndexStore& index, const SearchResult& result, const SearchOptions& options);
// The same as lines of text.
std::string search_text(IndexStore& index, const SearchResult& result);

// One page with the pictures and the boxes that matched; it needs no other file and no network.
// Pictures that cannot be read any more are counted in `skips`. Returns how many it shows.
int64_t write_search_page(IndexStore& index, const SearchResult& result, const std::string& title,
                          const std::filesystem::path& page, SkipCounter& skips);

}  // namespace opencloc
