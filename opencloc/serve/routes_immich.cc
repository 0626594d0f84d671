// What immich asks its machine-learning container for smart search.
#include "opencloc/serve/embed.h"
#include "opencloc/serve/router.h"

namespace opencloc::serve {
namespace {

[[noreturn]] void refuse_entries(std::string message) {
  throw Refused{{.status = 422, .message = std::move(message), .param = "entries"}};
}

// Whether a picture is wanted, else a text.
bool wants_picture(std::string_view entries) {
  const Json json = parse_object(entries);
  const Json* clip = find_key(json, "clip");
  if (json.size() != 1 || clip == nullptr || !clip->is_object() || clip->size() != 1)
    refuse_entries("one entry, clip, with visual or textual, is served");
  if (find_key(*clip, "visual") != nullptr) return true;
  if (find_key(*clip, "textual") == nullptr) refuse_entries("clip has neither visual nor textual");
  return false;
}

void post_predict(Service& service, const CallPtr& call) {
  std::string entries, text, picture;
  for (const FormPart& part :
       parse_form(call->request.header("content-type"), call->request.body)) {
    if (part.name == "entries") entries = std::string(part.body);
    if (part.name == "text") text = std::string(part.body);
    if (part.name == "image") picture = std::string(part.body);
  }
  if (entries.empty()) refuse_entries("the form has no entries");
  const bool visual = wants_picture(entries);
  EmbedItem item;
  item.param = visual ? "image" : "text";
  if (visual) {
    if (picture.empty()) throw Refused{bad_request("the form has no picture", "image")};
    item.picture = std::make_shared<const std::string>(std::move(picture));
  } else {
    if (text.empty()) throw Refused{bad_request("the form has no text", "text")};
    check_text(text, "text");
    item.text = std::move(text);
  }
  embed(service, call, {std::move(item)}, [call, visual](const std::vector<Embedded>& embedded) {
    require_all(embedded);
    const Embedded& one = embedded.front();
    // A list in a string: that is how it is read there.
    Json answer = {{"clip", json_of_floats(one.vector)}};
    if (visual) {
      answer["imageHeight"] = one.height;
      answer["imageWidth"] = one.width;
    }
    call->respond(json_response(answer));
  });
}

void get_ping(Service&, const CallPtr& call) { call->respond(text_response("pong")); }

constexpr Route kImmich[] = {
    {"POST", "/predict", Access::kKey, BodyKind::kForm, Work::kHeavy, post_predict},
    {"GET", "/ping", Access::kOpen, BodyKind::kNone, Work::kLight, get_ping},
};

}  // namespace

std::span<const Route> immich_routes() { return kImmich; }

}  // namespace opencloc::serve
