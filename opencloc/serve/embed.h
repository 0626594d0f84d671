// Texts, pictures and parts of pictures -> vectors: what every dialect asks for.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "opencloc/serve/service.h"
#include "opencloc/serve/wire.h"

namespace opencloc::serve {

struct EmbedItem {
  std::string text = {};  // where there is no picture
  std::shared_ptr<const std::string> picture =
      nullptr;             // encoded bytes; several items may share it
  Prompt prompt = {};      // of the picture
  std::string param = {};  // its place in the request
};

struct Embedded {
  std::vector<float> vector = {};                 // [E], unit length
  std::optional<HttpError> error = std::nullopt;  // in place of it
  int width = 0, height = 0;                      // of the picture
};

// Call it on the `front` or `decoding` thread. `then` runs on `front`, with one result for each
// item, in order. A fault of an item is its own.
void embed(Service& service, const CallPtr& call, std::vector<EmbedItem> items,
           std::function<void(std::vector<Embedded>)> then);

// Prompts on a scene. On the compute thread.
std::vector<Embedded> prompt_scene(const Scene& scene, const std::vector<Prompt>& prompts,
                                   const std::vector<std::string>& params);

// Encodes a picture, or finds it in the cache. Call it on `decoding`; `then` runs on the compute
// thread.
void with_scene(Service& service, const CallPtr& call, std::string picture,
                std::function<void(ScenePtr)> then);

// 422 with the reason, for what is wrong with a client's picture or prompt.
HttpError unusable(const Error& error, const char* type, const std::string& param);
// The first error among them becomes the answer.
void require_all(const std::vector<Embedded>& embedded);

}  // namespace opencloc::serve
