// What an index is: the file index.json, which never changes once the index is made.
//
// IDX/index.json      this
// IDX/catalog.sqlite  pictures, names, texts, which segments count (catalog.h)
// IDX/segments/N.seg  vectors (segment.h)
// IDX/.lock           held by the one process that writes
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"

namespace opencloc {

struct IndexInfo {
  int64_t width = 0;             // E
  std::string model = {};        // where it was, absolute; empty: vectors came from elsewhere
  std::string fingerprint = {};  // of the model; empty: not known
  // Where boxes come from: "labels" (the grid where there are none), "grid", "both", "none".
  std::string regions = "labels";
  std::vector<int64_t> grid = {1, 2, 3};  // boxes a side, each level half-overlapping
  int64_t keep = 0;                       // of the grid's boxes, by quality; 0: all
  int64_t coarse = 0;                     // levels of up to so many boxes a side are kept besides
  // Of the model's region embeddings: what qualities weigh (quality.h). 0: they weigh nothing.
  double inverse_temperature = 0;
  std::string region_method = {};  // "prompter", ...; empty: not known
};

// What index.json holds.
Json index_info_json(const IndexInfo& info);
// Throws Error (input) naming `where` for another format, and for values that are none.
IndexInfo parse_index_info(const Json& json, std::string_view where);

std::filesystem::path catalog_path(const std::filesystem::path& index);
std::filesystem::path segment_path(const std::filesystem::path& index, int64_t id);

// Whether there is an index at the path. Throws Error (input) where something else is.
bool index_exists(const std::filesystem::path& index);
// An empty index, whole or not at all.
void create_index(const std::filesystem::path& index, const IndexInfo& info);
// Throws Error (input) where there is none, or one of a newer format.
IndexInfo read_index_info(const std::filesystem::path& index);

}  // namespace opencloc
