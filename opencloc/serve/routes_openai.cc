// OpenAI's /v1/embeddings, as Infinity, vLLM and Jina extend it: texts, pictures, and boxes.
#include <ctime>
#include <unordered_map>

#include "opencloc/serve/embed.h"
#include "opencloc/serve/router.h"

namespace opencloc::serve {
namespace {

[[noreturn]] void refuse_input(std::string message, const std::string& param) {
  throw Refused{bad_request(std::move(message), param)};
}

enum class Modality { kAny, kText, kImage, kRegion };
Modality modality_of(const Json& json) {
  const std::string name = text_at(json, "modality");
  if (name.empty() || name == "auto") return Modality::kAny;
  if (name == "text") return Modality::kText;
  if (name == "image") return Modality::kImage;
  if (name == "region") return Modality::kRegion;
  refuse_input("'text', 'image' and 'region' are known", "modality");
}

// Gathers the items of a request; the same picture twice is encoded once.
class EmbedInput {
 public:
  explicit EmbedInput(Modality modality) : modality_(modality) {}

  void add(const Json& item, const std::string& param) {
    if (item.is_string()) return add_string(item.get_ref<const std::string&>(), param);
    if (item.is_number() || item.is_array()) {
      refuse_input("token ids are not taken: send the text", param);
    }
    if (!item.is_object()) refuse_input("not a text or a picture", param);
    if (const Json* type = find_key(item, "type")) {
      if (*type == "image_url") return add_image_url(item, param);
      if (*type == "text") return add_text(text_at(item, "text"), param + ".text");
      refuse_input("'text' and 'image_url' are known", param + ".type");
    }
    const Json* image = find_key(item, "image");
    if (image == nullptr) return add_text(text_at(item, "text"), param + ".text");
    if (!image->is_string()) refuse_input("not base64", param + ".image");
    Prompt prompt;
    Json where = Json::object();
    for (const char* key : {"box", "point", "mask", "prompt"}) {
      if (const Json* value = find_key(item, key))
        where[std::string(key) == "prompt" ? "text" : key] = *value;
    }
    if (!where.empty()) prompt = prompt_of(where, param);
    if (where.empty() && modality_ == Modality::kRegion)
      refuse_input("a region has a box, a point, a mask or a prompt", param);
    add_picture(image->get_ref<const std::string&>(), std::move(prompt), param);
  }

  // vLLM: a conversation of one message with one text or one picture.
  void add_messages(const Json& messages) {
    if (!messages.is_array() || messages.size() != 1 || !messages[0].is_object())
      refuse_input("a list of one message", "messages");
    const Json* content = find_key(messages[0], "content");
    if (content == nullptr) refuse_input("the message has no content", "messages[0]");
    if (content->is_string())
      return add_text(content->get_ref<const std::string&>(), "messages[0].content");
    if (!content->is_array() || content->size() != 1)
      refuse_input("one text or one picture: a model of this kind does not mix them",
                   "messages[0].content");
    add(content->at(0), "messages[0].content[0]");
  }

  std::vector<EmbedItem> take() { return std::move(items_); }

 private:
  void add_string(const std::string& text, const std::string& param) {
    if (modality_ == Modality::kRegion)
      refuse_input("a region is an object with image and box", param);
    const bool data = lower(std::string_view(text).substr(0, 11)) == "data:image/";
    if (modality_ == Modality::kImage || (modality_ == Modality::kAny && data))
      return add_picture(text, {}, param);
    if (modality_ == Modality::kAny && looks_like_url(text)) {
      refuse_input(
          "this server opens no addresses: send the picture itself as a data: URI. Is the "
          "address a text, say \"modality\": \"text\"",
          param);
    }
    add_text(text, param);
  }

  void add_text(const std::string& text, const std::string& param) {
    check_text(text, param);
    if (++texts_ > kWireLimits.texts)
      refuse_input("more than " + std::to_string(kWireLimits.texts) + " texts", "input");
    items_.push_back({.text = text, .param = param});
  }

  void add_image_url(const Json& item, const std::string& param) {
    const Json* url = find_key(item, "image_url");
    if (url != nullptr && url->is_object()) url = find_key(*url, "url");
    if (url == nullptr || !url->is_string())
      refuse_input("image_url is {\"url\": \"data:image/...\"}", param);
    add_picture(url->get_ref<const std::string&>(), {}, param);
  }

  void add_picture(const std::string& encoded, Prompt prompt, const std::string& param) {
    auto bytes = std::make_shared<const std::string>(picture_of(encoded, param));
    const auto [at, is_new] = pictures_.emplace(*bytes, bytes);
    if (is_new && pictures_.size() > kWireLimits.images)
      refuse_input("more than " + std::to_string(kWireLimits.images) + " pictures", "input");
    if (items_.size() >= kWireLimits.prompts)
      refuse_input("more than " + std::to_string(kWireLimits.prompts) + " items", "input");
    items_.push_back({.picture = at->second, .prompt = std::move(prompt), .param = param});
  }

  const Modality modality_;
  std::vector<EmbedItem> items_;
  size_t texts_ = 0;
  std::unordered_map<std::string, std::shared_ptr<const std::string>> pictures_;
};

struct EmbeddingsRequest {
  std::vector<EmbedItem> items;
  EmbeddingForm form = EmbeddingForm::kFloat;
  bool skip_errors = false;
  int64_t tokens = 0;
};

EmbeddingsRequest read_request(const Service& service, const std::string& body) {
  const Json json = parse_object(body);
  EmbeddingsRequest request;
  request.form = embedding_form(json);
  const int64_t dimensions = whole_at(json, "dimensions", 0);
  if (dimensions != 0 && dimensions != service.engine.width()) {
    refuse_input("the model's embeddings have " + std::to_string(service.engine.width()) +
                     " numbers, and cannot be cut",
                 "dimensions");
  }
  const std::string on_error = text_at(json, "on_error", "fail");
  if (on_error != "fail" && on_error != "skip")
    refuse_input("'fail' and 'skip' are known", "on_error");
  request.skip_errors = on_error == "skip";
  EmbedInput input(modality_of(json));
  if (const Json* messages = find_key(json, "messages")) {
    input.add_messages(*messages);
  } else if (const Json* given = find_key(json, "input")) {
    if (given->is_array()) {
      if (given->empty()) refuse_input("the list is empty", "input");
      for (size_t i = 0; i < given->size(); ++i)
        input.add((*given)[i], "input[" + std::to_string(i) + "]");
    } else {
      input.add(*given, "input");
    }
  } else {
    refuse_input("the key is missing", "input");
  }
  request.items = input.take();
  for (const EmbedItem& item : request.items) {
    if (!item.picture) request.tokens += service.engine.tokens_of(item.text);
  }
  return request;
}

void post_embeddings(Service& service, const CallPtr& call) {
  EmbeddingsRequest request = read_request(service, call->request.body);
  call->request.body = {};
  embed(service, call, std::move(request.items),
        [&service, call, form = request.form, skip = request.skip_errors,
         tokens = request.tokens](const std::vector<Embedded>& embedded) {
          if (!skip) require_all(embedded);
          std::string data;
          Json errors = Json::array();
          for (size_t i = 0; i < embedded.size(); ++i) {
            Json item = {{"object", "embedding"}, {"index", i}};
            if (embedded[i].error) {
              item = {{"index", i}};
              item.update(error_json(*embedded[i].error));
              errors.push_back(std::move(item));
              continue;
            }
            data += (data.empty() ? "" : ",") +
                    json_with(item, "embedding", json_of_embedding(embedded[i].vector, form));
          }
          Json rest = {{"object", "list"},
                       {"model", service.engine.name()},
                       {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}};
          if (!errors.empty()) rest["errors"] = std::move(errors);
          call->respond({.body = json_with(rest, "data", "[" + data + "]")});
        });
}

Json model_json(const Service& service) {
  return {{"id", service.engine.name()},
          {"object", "model"},
          {"created", 0},
          {"owned_by", "opencloc"},
          {"embedding_width", service.engine.width()},
          {"image_size", service.engine.image_size()},
          {"regions", service.engine.has_region_heads()},
          {"fingerprint", service.engine.fingerprint()}};
}

void get_models(Service& service, const CallPtr& call) {
  call->respond(json_response({{"object", "list"}, {"data", Json::array({model_json(service)})}}));
}

void get_model(Service& service, const CallPtr& call) {
  if (call->params.at("name") != service.engine.name())
    throw Refused{not_found("the model is called " + service.engine.name(), "name")};
  call->respond(json_response(model_json(service)));
}

constexpr Route kOpenAi[] = {
    {"POST", "/v1/embeddings", Access::kKey, BodyKind::kJson, Work::kHeavy, post_embeddings},
    {"POST", "/embeddings", Access::kKey, BodyKind::kJson, Work::kHeavy, post_embeddings},
    {"GET", "/v1/models", Access::kKey, BodyKind::kNone, Work::kLight, get_models},
    {"GET", "/models", Access::kKey, BodyKind::kNone, Work::kLight, get_models},
    {"GET", "/v1/models/{name}", Access::kKey, BodyKind::kNone, Work::kLight, get_model},
};

}  // namespace

std::span<const Route> openai_routes() { return kOpenAi; }

}  // namespace opencloc::serve
