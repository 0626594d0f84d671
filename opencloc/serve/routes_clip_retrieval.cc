// clip-retrieval's back end, for its client and its page. What it has that is dangerous is left
// out: no address is fetched, no path of the metadata is opened.
#include "opencloc/serve/find_hits.h"
#include "opencloc/serve/router.h"

namespace opencloc::serve {
namespace {

[[noreturn]] void refuse_knn(std::string message, const std::string& param) {
  throw Refused{bad_request(std::move(message), param)};
}

// A number, or "" for none, as its page sends it.
int64_t count_at(const Json& json, const char* key, int64_t fallback) {
  const Json* value = find_key(json, key);
  if (value != nullptr && *value == "") return fallback;
  return whole_at(json, key, fallback);
}

HitQuery knn_query(Service& service, const Json& json) {
  HitQuery query;
  const std::string text = text_at(json, "text"), image = text_at(json, "image");
  if (!text_at(json, "image_url").empty()) {
    refuse_knn("this server opens no addresses: send the picture itself as image, in base64",
               "image_url");
  }
  const Json* embedding = find_key(json, "embedding_input");
  if (embedding != nullptr && embedding->is_array() && embedding->empty()) embedding = nullptr;
  if (!text.empty()) {
    check_text(text, "text");
    query.param = "text";
    query.item = EmbedItem{.text = text, .param = "text"};
  } else if (!image.empty()) {
    query.param = "image";
    query.item =
        EmbedItem{.picture = std::make_shared<const std::string>(picture_of(image, "image")),
                  .param = "image"};
  } else if (embedding != nullptr) {
    query.param = "embedding_input";
    query.vector = vector_of(*embedding, service.engine.width(), "embedding_input");
  } else {
    refuse_knn("give one of text, image and embedding_input", "text");
  }
  return query;
}

// Where the client has reached us. Its Host was checked; a proxy says that it was by TLS.
std::string origin_of(const HttpRequest& request) {
  const bool tls = request.header("x-forwarded-proto") == "https";
  return (tls ? "https://" : "http://") + std::string(request.header("host"));
}

// What it calls the columns of a picture.
void put_columns(const Service& service, const HttpRequest& request, const ServedIndex& index,
                 const PictureEntry& entry, Json& json) {
  json["url"] = origin_of(request) + picture_address(service, index, entry.picture.id);
  if (!entry.names.empty()) json["image_path"] = shown_picture_name(entry.names.front());
  json["caption"] = entry.picture.caption;
}

void post_knn(Service& service, const CallPtr& call) {
  const Json json = parse_object(call->request.body);
  const std::string modality = text_at(json, "modality");
  if (modality != "image") {
    refuse_knn(modality == "text" ? "the indexes here hold pictures, no captions"
                                  : "'image' is the modality that is served",
               "modality");
  }
  const int64_t rows = count_at(json, "num_images", 40);
  const int64_t ids = std::max(rows, count_at(json, "num_result_ids", rows));
  if (rows < 1 || rows > kWireLimits.bare_hits || ids > kWireLimits.bare_hits) {
    refuse_knn("at least 1, and at most " + std::to_string(kWireLimits.bare_hits), "num_images");
  }
  ServedIndex& index = service.index(text_at(json, "indice_name"));
  SearchOptions options;
  options.k = ids;
  options.fold = flag_at(json, "deduplicate", false);
  options.more_regions = 0;
  find_hits(service, call, index, knn_query(service, json), SearchUnit::kPicture, options,
            [&service, &index, call, rows](const FoundHits& found) {
              Json list = Json::array();
              for (const Hit& hit : found.result.hits) {
                Json one = {{"id", hit.picture}, {"similarity", hit.best.score}};
                if (static_cast<int64_t>(list.size()) < rows)
                  put_columns(service, call->request, index, found.entry(hit.picture), one);
                list.push_back(std::move(one));
              }
              call->respond(json_response(list));
            });
}

void post_metadata(Service& service, const CallPtr& call) {
  const Json json = parse_object(call->request.body);
  ServedIndex& index = service.index(text_at(json, "indice_name"));
  const Json* given = find_key(json, "ids");
  if (given == nullptr || !given->is_array()) refuse_knn("not a list of ids", "ids");
  if (given->size() > static_cast<size_t>(kWireLimits.bare_hits))
    refuse_knn("more than " + std::to_string(kWireLimits.bare_hits) + " ids", "ids");
  std::vector<int64_t> ids;
  for (const Json& id : *given) {
    if (!id.is_number_integer()) refuse_knn("not a list of ids", "ids");
    ids.push_back(id.get<int64_t>());
  }
  Json list = Json::array();
  for (const PictureEntry& entry : index.pictures(ids)) {
    Json metadata = Json::object();
    put_columns(service, call->request, index, entry, metadata);
    list.push_back({{"id", entry.picture.id}, {"metadata", std::move(metadata)}});
  }
  call->respond(json_response(list));
}

void get_indices_list(Service& service, const CallPtr& call) {
  Json names = Json::array();
  for (const auto& index : service.indexes.all()) names.push_back(index->name());
  call->respond(json_response(names));
}

void get_config(Service& service, const CallPtr& call) {
  const auto& all = service.indexes.all();
  call->respond(
      json_response({{"defaultBackend", "http://" + std::string(call->request.header("host")) +
                                            service.options.url_prefix},
                     {"defaultIndex", all.empty() ? "" : all.front()->name()},
                     {"urlColumn", "url"}}));
}

constexpr Route kClipRetrieval[] = {
    {"POST", "/knn-service", Access::kKey, BodyKind::kAnyJson, Work::kHeavy, post_knn},
    {"POST", "/metadata", Access::kKey, BodyKind::kAnyJson, Work::kReads, post_metadata},
    {"GET", "/indices-list", Access::kKey, BodyKind::kNone, Work::kLight, get_indices_list},
    {"GET", "/config.json", Access::kKey, BodyKind::kNone, Work::kLight, get_config},
};

}  // namespace

std::span<const Route> clip_retrieval_routes() { return kClipRetrieval; }

}  // namespace opencloc::serve
