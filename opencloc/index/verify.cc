#include "opencloc/index/verify.h"

#include <algorithm>
#include <memory>
#include <set>

#include "opencloc/base/error.h"
#include "opencloc/base/temporary.h"
#include "opencloc/index/catalog.h"
#include "opencloc/index/info.h"
#include "opencloc/index/segment.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPicturesAtATime = 10'000;

using Segments = std::vector<std::unique_ptr<Segment>>;

// The rows that a picture has in all segments together, and in how many it is.
std::pair<int64_t, int64_t> rows_in(const Segments& segments, int64_t picture) {
  int64_t rows = 0, places = 0;
  for (const auto& segment : segments) {
    const auto range = segment->columns().rows_of(static_cast<uint32_t>(picture));
    rows += range.end - range.begin;
    places += range.empty() ? 0 : 1;
  }
  return {rows, places};
}

Segments verify_segments(const fs::path& path, const IndexInfo& info, const Catalog::State& state,
                         const std::function<void(uint64_t bytes)>& read, IndexFaults& found) {
  Segments segments;
  for (const SegmentEntry& entry : state.segments) {
    const fs::path file = segment_path(path, entry.id);
    try {
      auto segment = std::make_unique<Segment>(file);
      segment->verify(read);
      const SegmentColumns& columns = segment->columns();
      const bool same = columns.rows() == entry.rows && columns.width == info.width &&
                        segment->checksum() == entry.checksum;
      if (!same) {
        found.faults.push_back("the segment is not the one that the catalog names, " +
                               file.string());
      }
      segments.push_back(std::move(segment));
    } catch (const Error& error) {
      found.faults.emplace_back(error.what());
    }
  }
  return segments;
}

void verify_pictures(Catalog& catalog, const Segments& segments, const std::string& where,
                     IndexFaults& found) {
  int64_t after = 0, rows = 0;
  for (auto some = catalog.pictures_after(after, kPicturesAtATime); !some.empty();
       some = catalog.pictures_after(after, kPicturesAtATime)) {
    for (const CatalogPicture& picture : some) {
      const auto [there, places] = rows_in(segments, picture.id);
      if (there != picture.rows || places != 1) {
        found.faults.push_back("picture " + std::to_string(picture.id) + " has " +
                               std::to_string(there) + " vectors in " + std::to_string(places) +
                               " segments in place of " + std::to_string(picture.rows) +
                               " in one, " + where);
      }
      rows += there;
    }
    found.pictures += static_cast<int64_t>(some.size());
    after = some.back().id;
  }
  for (const uint32_t removed : catalog.state().removed) rows += rows_in(segments, removed).first;
  for (const auto& segment : segments) found.rows += segment->columns().rows();
  if (rows != found.rows) {
    found.faults.push_back(std::to_string(found.rows - rows) +
                           " vectors belong to no picture of the catalog, " + where);
  }
  const PictureName* before = nullptr;
  const auto names = catalog.names();
  int64_t named = 0;
  for (const PictureName& name : names) {
    named += before == nullptr || before->picture != name.picture ? 1 : 0;
    before = &name;
  }
  if (named != found.pictures) {
    found.faults.push_back(std::to_string(named) + " pictures have names in place of " +
                           std::to_string(found.pictures) + ", " + where);
  }
}

void find_debris(const fs::path& path, const Catalog::State& state, IndexFaults& found) {
  std::set<fs::path> counted;
  for (const SegmentEntry& entry : state.segments) counted.insert(segment_path(path, entry.id));
  std::error_code ignored;
  for (const auto& file : fs::directory_iterator(path / "segments", ignored)) {
    if (!counted.contains(file.path())) found.debris.push_back(file.path().string());
  }
  std::sort(found.debris.begin(), found.debris.end());
}

}  // namespace

IndexFaults verify_index(const fs::path& path, const std::function<void(uint64_t bytes)>& read) {
  const IndexInfo info = read_index_info(path);
  Catalog catalog(catalog_path(path), Catalog::Mode::kRead);
  IndexFaults found;
  try {
    catalog.check();
    const Catalog::State state = catalog.state();
    const Segments segments = verify_segments(path, info, state, read, found);
    found.segments = static_cast<int64_t>(state.segments.size());
    if (segments.size() == state.segments.size())
      verify_pictures(catalog, segments, catalog_path(path).string(), found);
    find_debris(path, state, found);
  } catch (const Error& error) {
    found.faults.emplace_back(error.what());
  }
  return found;
}

}  // namespace opencloc
