#include "opencloc/serve/embed.h"

#include <algorithm>
#include <map>

#include "opencloc/base/sha256.h"

namespace opencloc::serve {
namespace {

// What an embed() gathers until all of it is there. Its parts come from several threads.
struct EmbedWork {
  EmbedWork(Service& s, CallPtr c, std::vector<EmbedItem> i,
            std::function<void(std::vector<Embedded>)> t)
      : service(s),
        call(std::move(c)),
        items(std::move(i)),
        then(std::move(t)),
        embedded(items.size()) {}

  Service& service;
  const CallPtr call;
  std::vector<EmbedItem> items;
  const std::function<void(std::vector<Embedded>)> then;
  std::vector<Embedded> embedded;  // each part writes its own
  std::atomic<size_t> left = 0;    // parts: the texts together, and every picture
};
using EmbedWorkPtr = std::shared_ptr<EmbedWork>;

void part_done(const EmbedWorkPtr& work) {
  if (--work->left > 0) return;
  work->service.front.post(work->call, [work] { work->then(std::move(work->embedded)); });
}

Embedding embed_prompt(const Scene& scene, const Prompt& prompt) {
  struct Visitor {
    const Scene& scene;
    Embedding operator()(const WholePicture&) const { return scene.embedding(); }
    Embedding operator()(const Box& box) const { return scene.region(box); }
    Embedding operator()(const Point& point) const { return scene.region(point); }
    Embedding operator()(const Mask& mask) const { return scene.region(mask); }
    Embedding operator()(const std::string& text) const { return scene.region(text); }
  };
  return std::visit(Visitor{scene}, prompt);
}

void fail_picture(const EmbedWorkPtr& work, const std::vector<size_t>& places, const Error& error) {
  for (const size_t i : places)
    work->embedded[i].error = unusable(error, "invalid_image", work->items[i].param);
  part_done(work);
}

// On `decoding`.
void embed_picture(const EmbedWorkPtr& work, const std::vector<size_t>& places) {
  const EmbedItem& first = work->items[places.front()];
  std::shared_ptr<Image> image;
  try {
    image = work->service.decoder.decode(*first.picture, first.param);
  } catch (const Error& error) {
    return fail_picture(work, places, error);
  }
  work->service.batcher.image(
      work->call, std::move(image),
      [work, places](const Scene& scene) {
        std::vector<Prompt> prompts;
        std::vector<std::string> params;
        for (const size_t i : places) {
          prompts.push_back(work->items[i].prompt);
          params.push_back(work->items[i].param);
        }
        auto embedded = prompt_scene(scene, prompts, params);
        for (size_t k = 0; k < places.size(); ++k)
          work->embedded[places[k]] = std::move(embedded[k]);
        part_done(work);
      },
      [work, places](const Error& error) { fail_picture(work, places, error); });
}

}  // namespace

HttpError unusable(const Error& error, const char* type, const std::string& param) {
  return {.status = 422, .message = error.what(), .type = type, .param = param};
}

void require_all(const std::vector<Embedded>& embedded) {
  for (const Embedded& one : embedded) {
    if (one.error) throw Refused{*one.error};
  }
}

std::vector<Embedded> prompt_scene(const Scene& scene, const std::vector<Prompt>& prompts,
                                   const std::vector<std::string>& params) {
  std::vector<Embedded> embedded(prompts.size());
  std::vector<Box> boxes;
  std::vector<size_t> places;
  for (size_t i = 0; i < prompts.size(); ++i) {
    embedded[i].width = scene.width();
    embedded[i].height = scene.height();
    if (const auto* box = std::get_if<Box>(&prompts[i])) {
      boxes.push_back(*box);
      places.push_back(i);
    }
  }
  if (boxes.size() > 1) {
    try {
      auto rows = scene.regions(boxes);
      for (size_t k = 0; k < places.size(); ++k)
        embedded[places[k]].vector = std::move(rows[k].values);
    } catch (const Error&) {
      // One of them: each by itself says which.
    }
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (!embedded[i].vector.empty()) continue;
    try {
      embedded[i].vector = embed_prompt(scene, prompts[i]).values;
    } catch (const Error& error) {
      embedded[i].error = unusable(error, "invalid_prompt", params[i]);
    }
  }
  return embedded;
}

void embed(Service& service, const CallPtr& call, std::vector<EmbedItem> items,
           std::function<void(std::vector<Embedded>)> then) {
  const auto work = std::make_shared<EmbedWork>(service, call, std::move(items), std::move(then));
  std::vector<std::string> texts;
  std::vector<size_t> text_places;
  std::vector<std::vector<size_t>> pictures;
  std::map<const std::string*, size_t> picture_at;
  for (size_t i = 0; i < work->items.size(); ++i) {
    const EmbedItem& item = work->items[i];
    if (!item.picture) {
      texts.push_back(item.text);
      text_places.push_back(i);
      continue;
    }
    const auto [at, is_new] = picture_at.emplace(item.picture.get(), pictures.size());
    if (is_new) pictures.emplace_back();
    pictures[at->second].push_back(i);
  }
  work->left = pictures.size() + (texts.empty() ? 1 : 2);  // and this function
  if (!texts.empty()) {
    service.batcher.texts(
        call, std::move(texts), [work, text_places](std::vector<Embedding> embeddings) {
          for (size_t k = 0; k < text_places.size(); ++k) {
            work->embedded[text_places[k]].vector = std::move(embeddings[k].values);
          }
          part_done(work);
        });
  }
  for (const auto& places : pictures)
    service.decoding.post(call, [work, places] { embed_picture(work, places); });
  part_done(work);
}

void with_scene(Service& service, const CallPtr& call, std::string picture,
                std::function<void(ScenePtr)> then) {
  std::string id = sha256_hex(picture);
  if (ScenePtr scene = service.scenes.find(id)) {
    service.batcher.work(call, WorkKind::kPrompt,
                         [then = std::move(then), scene = std::move(scene)] { then(scene); });
    return;
  }
  std::shared_ptr<Image> image;
  try {
    image = service.decoder.decode(picture, "image");
  } catch (const Error& error) {
    throw Refused{unusable(error, "invalid_image", "image")};
  }
  service.batcher.image(
      call, std::move(image),
      [&service, id = std::move(id), picture = std::move(picture),
       then = std::move(then)](Scene scene) mutable {
        const auto cached = std::make_shared<const CachedScene>(
            CachedScene{std::move(id), std::move(scene), std::move(picture)});
        service.scenes.put(cached);
        then(cached);
      },
      [](const Error& error) { throw Refused{unusable(error, "invalid_image", "image")}; });
}

}  // namespace opencloc::serve
