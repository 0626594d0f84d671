#include "opencloc/serve/model_engine.h"

#include <filesystem>

#include <malloc.h>

#include "opencloc/api/impl.h"
#include "opencloc/base/log.h"
#include "opencloc/checkpoint/fingerprint.h"
#include "opencloc/ops/caching_allocator.h"

namespace opencloc::serve {

ModelEngine::ModelEngine(std::string path, LoadOptions options, double idle_unload,
                         std::function<void()> unloaded)
    : path_(std::move(path)),
      options_(std::move(options)),
      idle_unload_(idle_unload),
      unloaded_(std::move(unloaded)) {
  load();
  const Model::Impl& impl = model_->impl();
  Cloc cloc = impl.handle();
  fingerprint_ = model_fingerprint(cloc, impl.tokenizer.get());
  width_ = model_->embedding_width();
  image_size_ = model_->image_size();
  has_region_heads_ = model_->has_region_heads();
  context_length_ = cloc->config().text.context_length;
  tokenizer_ = impl.tokenizer;
  // Of ".../runs/photos/model" both words.
  const auto folder = std::filesystem::absolute(path_).lexically_normal();
  name_ = folder.filename().empty() ? folder.parent_path().filename() : folder.filename();
}

void ModelEngine::load() {
  model_ = Model::load(path_, options_);
  loaded_ = true;
}

const Model& ModelEngine::model() {
  if (!model_) {
    log::info("the model is loaded again");
    load();
    Cloc cloc = model_->impl().handle();
    if (model_fingerprint(cloc, model_->impl().tokenizer.get()) != fingerprint_) {
      model_.reset();
      loaded_ = false;
      throw Error::failed("the model is another one than when the server was started", path_,
                          "start the server again");
    }
  }
  return *model_;
}

int64_t ModelEngine::tokens_of(const std::string& text) const {
  return tokenize(*tokenizer_, text, context_length_).length;
}

std::vector<Embedding> ModelEngine::encode_texts(std::span<const std::string> texts) {
  return model().encode_text(texts);
}

std::vector<Scene> ModelEngine::encode_images(std::span<const Image> images) {
  return model().encode(images);
}

std::chrono::milliseconds ModelEngine::idle_time() const {
  if (idle_unload_ <= 0) return std::chrono::hours(1);
  return std::chrono::milliseconds(static_cast<int64_t>(idle_unload_ * 1000));
}

void ModelEngine::idle() {
  if (idle_unload_ <= 0 || !model_) return;
  model_.reset();
  loaded_ = false;
  unloaded_();
  ops::give_kept_memory_back();
  ::malloc_trim(0);
  log::info("the model was given back after {:g} seconds without work", idle_unload_);
}

}  // namespace opencloc::serve
