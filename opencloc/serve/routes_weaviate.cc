// What Weaviate's multi2vec-clip module asks its inference container.
#include "opencloc/serve/embed.h"
#include "opencloc/serve/health.h"
#include "opencloc/serve/router.h"

namespace opencloc::serve {
namespace {

std::vector<EmbedItem> vectorize_items(const Json& json, size_t& texts) {
  std::vector<EmbedItem> items;
  const Json* given = find_key(json, "texts");
  if (given != nullptr && !(given->is_array() && given->empty())) {
    for (std::string& text : texts_of(*given, "texts"))
      items.push_back(
          {.text = std::move(text), .param = "texts[" + std::to_string(items.size()) + "]"});
  }
  texts = items.size();
  const Json* pictures = find_key(json, "images");
  if (pictures == nullptr) return items;
  if (!pictures->is_array() || pictures->size() > kWireLimits.images) {
    throw Refused{bad_request(
        "not a list of at most " + std::to_string(kWireLimits.images) + " pictures", "images")};
  }
  for (const Json& picture : *pictures) {
    const std::string param = "images[" + std::to_string(items.size() - texts) + "]";
    if (!picture.is_string()) throw Refused{bad_request("not base64", param)};
    items.push_back({.picture = std::make_shared<const std::string>(
                         picture_of(picture.get_ref<const std::string&>(), param)),
                     .param = param});
  }
  return items;
}

void post_vectorize(Service& service, const CallPtr& call) {
  size_t texts = 0;
  auto items = vectorize_items(parse_object(call->request.body), texts);
  embed(service, call, std::move(items), [call, texts](const std::vector<Embedded>& embedded) {
    require_all(embedded);
    std::string lists[2];
    for (size_t i = 0; i < embedded.size(); ++i) {
      std::string& list = lists[i < texts ? 0 : 1];
      list += (list.empty() ? "" : ",") + json_of_floats(embedded[i].vector);
    }
    call->respond(
        {.body = R"({"textVectors":[)" + lists[0] + R"(],"imageVectors":[)" + lists[1] + "]}"});
  });
}

void get_live(Service&, const CallPtr& call) { call->respond({.status = 204}); }

void get_weaviate_ready(Service& service, const CallPtr& call) {
  check_ready(service, call, [call](const std::optional<HttpError>& error) {
    error ? call->fail(*error) : call->respond({.status = 204});
  });
}

void get_meta(Service& service, const CallPtr& call) {
  call->respond(json_response({{"model", service.engine.name()},
                               {"embedding_width", service.engine.width()},
                               {"version", version()}}));
}

constexpr Route kWeaviate[] = {
    {"POST", "/vectorize", Access::kKey, BodyKind::kAnyJson, Work::kHeavy, post_vectorize, true},
    {"GET", "/.well-known/live", Access::kOpen, BodyKind::kNone, Work::kLight, get_live},
    {"GET", "/.well-known/ready", Access::kOpen, BodyKind::kNone, Work::kLight, get_weaviate_ready},
    {"GET", "/meta", Access::kKey, BodyKind::kNone, Work::kLight, get_meta},
};

}  // namespace

std::span<const Route> weaviate_routes() { return kWeaviate; }

}  // namespace opencloc::serve
