// Our own dialect, scenes: a picture is encoded once and then prompted many times.
#include <algorithm>

#include "opencloc/api/impl.h"
#include "opencloc/serve/embed.h"
#include "opencloc/serve/picture_answer.h"
#include "opencloc/serve/router.h"

namespace opencloc::serve {
namespace {

ScenePtr scene_of(Service& service, const CallPtr& call) {
  ScenePtr scene = service.scenes.find(call->params.at("id"));
  if (scene) return scene;
  throw Refused{
      not_found("there is no such scene (any more): send the picture to /v1/scenes again", "id")};
}

Json scene_json(const CachedScene& scene) {
  return {{"id", scene.id},
          {"width", scene.scene.width()},
          {"height", scene.scene.height()},
          {"regions", scene.scene.impl().model->region_heads}};
}

// {"index", "id"}: the file that was indexed, so that nobody has to send what is here.
std::string stored_picture(Service& service, const HttpRequest& request) {
  const Json json = parse_object(request.body);
  require_known_keys(json, {"index", "id"});
  if (find_key(json, "id") == nullptr) throw Refused{bad_request("the key is missing", "id")};
  ServedIndex& index = service.index(text_at(json, "index"));
  const PictureEntry entry = indexed_picture(index, whole_at(json, "id", 0));
  const ScenePtr scene = service.scenes.find(entry.picture.digest);
  return scene ? scene->picture : read_indexed_picture(entry);
}

void post_scene(Service& service, const CallPtr& call) {
  std::string picture = call->request.media_type() == "application/json"
                            ? stored_picture(service, call->request)
                            : take_picture(call->request);
  with_scene(service, call, std::move(picture), [call](const ScenePtr& scene) {
    call->respond(json_response(scene_json(*scene), 201));
  });
}

void get_scene(Service& service, const CallPtr& call) {
  call->respond(json_response(scene_json(*scene_of(service, call))));
}

void get_scene_picture(Service& service, const CallPtr& call) {
  const ScenePtr scene = scene_of(service, call);
  answer_picture(service, call, scene->picture, scene->id);
}

// The request's list of prompts; what is pointed at by none is the whole picture.
struct PromptList {
  std::vector<Prompt> prompts;
  std::vector<std::string> params;
};
PromptList prompts_of(const Json& json) {
  PromptList list;
  const Json* prompts = find_key(json, "prompts");
  if (prompts == nullptr || !prompts->is_array() || prompts->empty())
    throw Refused{bad_request("not a list of prompts", "prompts")};
  if (prompts->size() > kWireLimits.prompts) {
    throw Refused{
        bad_request("more than " + std::to_string(kWireLimits.prompts) + " prompts", "prompts")};
  }
  for (const Json& prompt : *prompts) {
    list.params.push_back("prompts[" + std::to_string(list.params.size()) + "]");
    list.prompts.push_back(prompt_of(prompt, list.params.back()));
  }
  return list;
}

bool skips_errors(const Json& json) {
  const std::string on_error = text_at(json, "on_error", "fail");
  if (on_error != "fail" && on_error != "skip")
    throw Refused{bad_request("'fail' and 'skip' are known", "on_error")};
  return on_error == "skip";
}

void post_regions(Service& service, const CallPtr& call) {
  const Json json = parse_object(call->request.body);
  require_known_keys(json, {"prompts", "encoding_format", "on_error"});
  auto list = std::make_shared<const PromptList>(prompts_of(json));
  const EmbeddingForm form = embedding_form(json);
  const bool skip = skips_errors(json);
  const ScenePtr scene = scene_of(service, call);
  service.batcher.work(call, WorkKind::kPrompt, [&service, call, scene, list, form, skip] {
    auto embedded = std::make_shared<const std::vector<Embedded>>(
        prompt_scene(scene->scene, list->prompts, list->params));
    service.front.post(call, [call, list, embedded, form, skip] {
      if (!skip) require_all(*embedded);
      std::string data;
      Json errors = Json::array();
      for (size_t i = 0; i < embedded->size(); ++i) {
        const Embedded& one = (*embedded)[i];
        Json item = {{"index", i}};
        if (one.error) {
          item.update(error_json(*one.error));
          errors.push_back(std::move(item));
          continue;
        }
        if (const auto* box = std::get_if<Box>(&list->prompts[i])) item["box"] = json_of(*box);
        data += (data.empty() ? "" : ",") +
                json_with(item, "embedding", json_of_embedding(one.vector, form));
      }
      Json rest = {{"object", "list"}};
      if (!errors.empty()) rest["errors"] = errors;
      call->respond({.body = json_with(rest, "data", "[" + data + "]")});
    });
  });
}

void post_ground(Service& service, const CallPtr& call) {
  const Json json = parse_object(call->request.body);
  require_known_keys(json, {"texts", "min_score"});
  const Json* given = find_key(json, "texts");
  if (given == nullptr) throw Refused{bad_request("the key is missing", "texts")};
  const auto texts = texts_of(*given, "texts");
  const double min_score = number_at(json, "min_score", -2);
  const ScenePtr scene = scene_of(service, call);
  service.batcher.texts(
      call, texts,
      [&service, call, scene, texts, min_score](const std::vector<Embedding>& embeddings) {
        service.batcher.work(call, WorkKind::kPrompt, [call, scene, texts, min_score, embeddings] {
          std::vector<Box> boxes;
          try {
            boxes = scene->scene.ground(embeddings);
          } catch (const Error& error) {
            throw Refused{unusable(error, "invalid_prompt", "texts")};
          }
          const std::vector<Prompt> prompts(boxes.begin(), boxes.end());
          const auto regions =
              prompt_scene(scene->scene, prompts, std::vector<std::string>(boxes.size(), "texts"));
          Json data = Json::array();
          for (size_t i = 0; i < boxes.size(); ++i) {
            // A box without any area, at the border: nothing is there to compare.
            const bool judged = !regions[i].error;
            const double score = judged ? similarity({regions[i].vector}, embeddings[i]) : -2;
            if (score < min_score) continue;
            data.push_back({{"index", i},
                            {"text", texts[i]},
                            {"box", json_of(boxes[i])},
                            {"score", judged ? Json(score) : Json(nullptr)}});
          }
          call->respond(json_response({{"data", std::move(data)}}));
        });
      });
}

void post_classify(Service& service, const CallPtr& call) {
  const Json json = parse_object(call->request.body);
  require_known_keys(json, {"labels", "prompts"});
  const Json* given = find_key(json, "labels");
  if (given == nullptr) throw Refused{bad_request("the key is missing", "labels")};
  const auto labels = texts_of(*given, "labels");
  PromptList list;
  if (find_key(json, "prompts") != nullptr) {
    list = prompts_of(json);
  } else {
    list = {{WholePicture{}}, {"prompts"}};
  }
  const ScenePtr scene = scene_of(service, call);
  service.batcher.texts(
      call, labels,
      [&service, call, scene, labels, list](const std::vector<Embedding>& embeddings) {
        service.batcher.work(call, WorkKind::kPrompt, [call, scene, labels, list, embeddings] {
          const auto regions = prompt_scene(scene->scene, list.prompts, list.params);
          require_all(regions);
          Json data = Json::array();
          for (size_t i = 0; i < regions.size(); ++i) {
            std::vector<std::pair<float, size_t>> ranked;
            for (size_t k = 0; k < labels.size(); ++k)
              ranked.emplace_back(-similarity({regions[i].vector}, embeddings[k]), k);
            std::sort(ranked.begin(), ranked.end());
            Json names = Json::array();
            for (const auto& [minus, k] : ranked)
              names.push_back({{"label", labels[k]}, {"score", shown_float(-minus)}});
            data.push_back({{"index", i}, {"labels", std::move(names)}});
          }
          call->respond(json_response({{"data", std::move(data)}}));
        });
      });
}

constexpr Route kOwn[] = {
    {"POST", "/v1/scenes", Access::kKey, BodyKind::kScene, Work::kPictures, post_scene},
    {"GET", "/v1/scenes/{id}", Access::kKey, BodyKind::kNone, Work::kReads, get_scene},
    {"GET", "/v1/scenes/{id}/picture", Access::kKey, BodyKind::kNone, Work::kPictures,
     get_scene_picture},
    {"POST", "/v1/scenes/{id}/regions", Access::kKey, BodyKind::kJson, Work::kHeavy, post_regions},
    {"POST", "/v1/scenes/{id}/ground", Access::kKey, BodyKind::kJson, Work::kHeavy, post_ground},
    {"POST", "/v1/scenes/{id}/classify", Access::kKey, BodyKind::kJson, Work::kHeavy,
     post_classify},
};

}  // namespace

std::span<const Route> own_routes() { return kOwn; }

}  // namespace opencloc::serve
