#include "opencloc/serve/find_hits.h"

#include <cmath>

#include "opencloc/search/indexer.h"
#include "opencloc/search/query.h"

namespace opencloc::serve {
namespace {

struct HitSearch {
  Service& service;
  CallPtr call;
  ServedIndex& index;
  HitQuery query;
  std::optional<SearchUnit> unit;
  SearchOptions options;
  std::function<void(FoundHits&)> then;
  FoundHits found = {};
  double began = 0;  // seconds of the call
};
using HitSearchPtr = std::shared_ptr<HitSearch>;

double lap(const HitSearchPtr& search) {
  const double now = search->call->seconds();
  const double milliseconds = 1000 * (now - search->began);
  search->began = now;
  return milliseconds;
}

void read_rows(const HitSearchPtr& search) {
  std::vector<int64_t> ids;
  for (const Hit& hit : search->found.result.hits) {
    ids.push_back(hit.picture);
    ids.insert(ids.end(), hit.duplicates.begin(), hit.duplicates.end());
  }
  for (PictureEntry& entry : search->index.pictures(ids)) {
    const int64_t id = entry.picture.id;
    search->found.entries.emplace(id, std::move(entry));
  }
  search->found.rows_ms = lap(search);
  search->found.options = search->options;
  search->then(search->found);
}

// Any thread: the vector is there.
void scan(const HitSearchPtr& search, std::vector<float> vector, SearchUnit unit) {
  search->found.encode_ms = lap(search);
  search->options.unit = search->unit.value_or(unit);
  search->service.batcher.search(search->call, search->index, std::move(vector), search->options,
                                 [search](SearchResult result) {
                                   search->found.search_ms = lap(search);
                                   search->found.result = std::move(result);
                                   search->service.front.post(search->call,
                                                              [search] { read_rows(search); });
                                 });
}

// On the compute thread: what the index has of this kind, so that something is searched at all.
SearchUnit there_is(ServedIndex& index, SearchUnit unit) {
  const IndexReader& reader = index.reader();
  if (reader.searched(unit) > 0) return unit;
  return unit == SearchUnit::kRegion ? SearchUnit::kPicture : SearchUnit::kRegion;
}

void scan_unit_there(const HitSearchPtr& search, std::vector<float> vector, SearchUnit unit) {
  if (search->unit) return scan(search, std::move(vector), unit);
  search->service.batcher.work(search->call, WorkKind::kScan,
                               [search, unit, vector = std::move(vector)] {
                                 scan(search, vector, there_is(search->index, unit));
                               });
}

void scan_stored(const HitSearchPtr& search) {
  search->service.batcher.work(search->call, WorkKind::kScan, [search] {
    QueryVector stored;
    try {
      QuerySpec spec;
      spec.stored = search->query.stored;
      stored = QueryEncoder(search->index.reader(), {}, {}).encode(spec);
    } catch (const Error&) {
      throw Refused{
          not_found("the index has no such picture or region: write 7, or 7:2 for its "
                    "region 2",
                    search->query.param)};
    }
    scan(search, std::move(stored.vector), stored.unit);
  });
}

void scan_scene(const HitSearchPtr& search) {
  search->service.batcher.work(search->call, WorkKind::kPrompt, [search] {
    auto embedded =
        prompt_scene(search->query.scene->scene, {search->query.prompt}, {search->query.param});
    require_all(embedded);
    const bool whole = std::holds_alternative<WholePicture>(search->query.prompt);
    scan_unit_there(search, std::move(embedded.front().vector),
                    whole ? SearchUnit::kPicture : SearchUnit::kRegion);
  });
}

}  // namespace

const PictureEntry& FoundHits::entry(int64_t picture) const {
  static const PictureEntry kNone;
  const auto at = entries.find(picture);
  return at == entries.end() ? kNone : at->second;
}

void find_hits(Service& service, const CallPtr& call, ServedIndex& index, HitQuery query,
               std::optional<SearchUnit> unit, SearchOptions options,
               std::function<void(FoundHits&)> then) {
  const auto search = std::make_shared<HitSearch>(
      HitSearch{service, call, index, std::move(query), unit, std::move(options), std::move(then)});
  search->began = call->seconds();
  if (!search->query.stored.empty()) return scan_stored(search);
  if (search->query.scene) return scan_scene(search);
  if (!search->query.item)
    return scan_unit_there(search, search->query.vector, SearchUnit::kRegion);
  const EmbedItem& item = *search->query.item;
  const bool whole = item.picture && std::holds_alternative<WholePicture>(item.prompt);
  embed(service, call, {item}, [search, whole](std::vector<Embedded> embedded) {
    require_all(embedded);
    scan_unit_there(search, std::move(embedded.front().vector),
                    whole ? SearchUnit::kPicture : SearchUnit::kRegion);
  });
}

std::vector<float> vector_of(const Json& value, int width, const std::string& param) {
  if (!value.is_array() || value.size() != static_cast<size_t>(width))
    throw Refused{bad_request("not a list of " + std::to_string(width) + " numbers", param)};
  std::vector<float> vector;
  double squares = 0;
  for (const Json& x : value) {
    if (!x.is_number()) throw Refused{bad_request("not a list of numbers", param)};
    vector.push_back(x.get<float>());
    squares += static_cast<double>(vector.back()) * static_cast<double>(vector.back());
  }
  if (!(squares > 0) || !std::isfinite(squares))
    throw Refused{bad_request("the vector has no direction", param)};
  for (float& x : vector) x = static_cast<float>(static_cast<double>(x) / std::sqrt(squares));
  return vector;
}

std::string shown_picture_name(const PictureName& name) {
  const std::string file = file_of(name);
  return std::filesystem::path(file).filename().string() + name.name.substr(file.size());
}

std::string picture_address(const Service& service, const ServedIndex& index, int64_t id) {
  return service.options.url_prefix + "/v1/indexes/" + index.name() + "/images/" +
         std::to_string(id) + "/picture";
}

}  // namespace opencloc::serve
