// Our own dialect, search.
#include "opencloc/serve/find_hits.h"
#include "opencloc/serve/router.h"

namespace opencloc::serve {
namespace {

std::optional<SearchUnit> unit_of(const Json& json) {
  const std::string unit = text_at(json, "unit", "auto");
  if (unit == "auto") return std::nullopt;
  if (unit == "image") return SearchUnit::kPicture;
  if (unit == "region") return SearchUnit::kRegion;
  if (unit == "both") return SearchUnit::kBoth;
  throw Refused{bad_request("'auto', 'image', 'region' and 'both' are known", "unit")};
}

Cut cut_of(const Json& json) {
  const Json* cut = find_key(json, "cut");
  if (cut == nullptr || *cut == "off") return {};
  if (*cut == "auto") return {Cut::Mode::kAuto, 0};
  if (cut->is_number()) return {Cut::Mode::kZ, number_at(json, "cut", 0)};
  throw Refused{bad_request("not a number, 'auto' or 'off'", "cut")};
}

HitQuery query_of(Service& service, const Json& json) {
  std::vector<const char*> given;
  for (const char* key : {"text", "image", "scene", "id", "embedding"}) {
    if (find_key(json, key) != nullptr) given.push_back(key);
  }
  if (given.size() != 1)
    throw Refused{bad_request("give one of text, image, scene, id and embedding")};
  HitQuery query;
  query.param = given.front();
  const Json* prompt = find_key(json, "prompt");
  if (prompt != nullptr) {
    if (query.param != "image" && query.param != "scene")
      throw Refused{bad_request("a prompt needs an image or a scene", "prompt")};
    query.prompt = prompt_of(*prompt, "prompt");
  }
  if (query.param == "text") {
    query.item = EmbedItem{.text = text_at(json, "text"), .param = "text"};
    check_text(query.item->text, "text");
  } else if (query.param == "image") {
    auto picture = std::make_shared<const std::string>(picture_of(text_at(json, "image"), "image"));
    query.item = EmbedItem{.picture = std::move(picture),
                           .prompt = query.prompt,
                           .param = prompt == nullptr ? "image" : "prompt"};
  } else if (query.param == "scene") {
    query.scene = service.scenes.find(text_at(json, "scene"));
    if (!query.scene) {
      throw Refused{
          not_found("there is no such scene (any more): send the picture to /v1/scenes "
                    "again",
                    "scene")};
    }
    if (prompt != nullptr) query.param = "prompt";
  } else if (query.param == "id") {
    const Json& id = json.at("id");
    query.stored = id.is_string() ? id.get<std::string>() : std::to_string(whole_at(json, "id", 0));
    if (query.stored.empty()) throw Refused{bad_request("the id is empty", "id")};
  } else {
    query.vector = vector_of(json.at("embedding"), service.engine.width(), "embedding");
  }
  return query;
}

void put_region(const RegionHit& region, const PictureEntry& entry, Json& json) {
  json["score"] = region.score;
  json["z"] = region.z;
  if (region.quality) {
    json["cosine"] = region.cosine;
    json["quality"] = *region.quality;
  }
  json["region"] = region.region;
  json["box"] = json_of(region.box);
  for (const RegionText& text : entry.texts) {
    if (text.region == region.region) json["text"] = text.text;
  }
}

Json hit_json(const Service& service, const ServedIndex& index, const FoundHits& found,
              const Hit& hit) {
  const PictureEntry& entry = found.entry(hit.picture);
  Json json = {{"id", hit.picture}, {"rank", hit.rank}};
  put_region(hit.best, entry, json);
  if (!entry.names.empty()) json["name"] = shown_picture_name(entry.names.front());
  if (!entry.picture.caption.empty()) json["caption"] = entry.picture.caption;
  json["width"] = entry.picture.width;
  json["height"] = entry.picture.height;
  json["picture"] = picture_address(service, index, hit.picture);
  json["regions"] = Json::array();
  for (const RegionHit& region : hit.more) {
    Json more = Json::object();
    put_region(region, entry, more);
    json["regions"].push_back(std::move(more));
  }
  json["duplicates"] = hit.duplicates;
  return json;
}

Json found_json(const Service& service, const ServedIndex& index, const FoundHits& found,
                int64_t offset) {
  const SearchResult& result = found.result;
  static constexpr const char* kModes[] = {"off", "auto", "z"};
  static constexpr const char* kUnits[] = {"image", "region", "both"};
  Json json = {
      {"index", index.name()},
      {"took_ms",
       {{"encode", found.encode_ms}, {"search", found.search_ms}, {"rows", found.rows_ms}}},
      {"unit", kUnits[static_cast<size_t>(found.options.unit)]},
      {"scanned", result.scanned},
      {"median", result.median},
      {"deviation", result.deviation},
      {"cut",
       {{"mode", kModes[static_cast<size_t>(found.options.cut.mode)]},
        {"z", result.cut_z ? Json(*result.cut_z) : Json(nullptr)},
        {"below", result.below}}},
      {"folded", result.folded},
      {"hits", Json::array()}};
  for (size_t i = static_cast<size_t>(offset); i < result.hits.size(); ++i)
    json["hits"].push_back(hit_json(service, index, found, result.hits[i]));
  return json;
}

void post_search(Service& service, const CallPtr& call) {
  const Json json = parse_object(call->request.body);
  require_known_keys(json, {"index", "text", "image", "scene", "id", "embedding", "prompt", "unit",
                            "k", "offset", "min_score", "cut", "deduplicate", "quality"});
  ServedIndex& index = service.index(text_at(json, "index"));
  SearchOptions options;
  const int64_t k = whole_at(json, "k", 10), offset = whole_at(json, "offset", 0);
  if (k < 1 || offset < 0 || k > kWireLimits.hits || offset > kWireLimits.hits - k) {
    throw Refused{bad_request(
        "k is 1 or more, and k and offset together at most " + std::to_string(kWireLimits.hits),
        "k")};
  }
  options.k = k + offset;
  if (find_key(json, "min_score") != nullptr) options.min_score = number_at(json, "min_score", 0);
  options.cut = cut_of(json);
  options.fold = flag_at(json, "deduplicate", true);
  options.quality = flag_at(json, "quality", true);
  find_hits(service, call, index, query_of(service, json), unit_of(json), options,
            [&service, &index, call, offset](const FoundHits& found) {
              call->respond(json_response(found_json(service, index, found, offset)));
            });
}

constexpr Route kSearch[] = {
    {"POST", "/v1/search", Access::kKey, BodyKind::kJson, Work::kHeavy, post_search},
};

}  // namespace

std::span<const Route> search_routes() { return kSearch; }

}  // namespace opencloc::serve
