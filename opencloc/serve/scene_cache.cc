#include "opencloc/serve/scene_cache.h"

#include "opencloc/api/impl.h"

namespace opencloc::serve {

int64_t bytes_of(const Scene& scene) {
  const ImageFeatures& features = scene.impl().features;
  int64_t bytes = 0;
  const auto add = [&bytes](const torch::Tensor& tensor) {
    if (tensor.defined()) bytes += tensor.numel() * static_cast<int64_t>(tensor.element_size());
    return tensor;
  };
  add(features.tokens);
  add(features.of_layers);
  add(features.embedding);
  features.context.map(add);
  return bytes;
}

ScenePtr SceneCache::find(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto at = by_id_.find(id);
  if (at == by_id_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, at->second);
  return at->second->scene;
}

void SceneCache::put(ScenePtr scene) {
  const int64_t bytes = bytes_of(scene->scene) + static_cast<int64_t>(scene->picture.size()) + 512;
  const std::lock_guard lock(mutex_);
  if (const auto at = by_id_.find(scene->id); at != by_id_.end()) {
    bytes_ -= at->second->bytes;
    entries_.erase(at->second);
    by_id_.erase(at);
  }
  while (!entries_.empty() && bytes_ + bytes > limit_) drop_last();
  entries_.push_front({std::move(scene), bytes});
  by_id_[entries_.front().scene->id] = entries_.begin();
  bytes_ += bytes;
}

void SceneCache::drop_last() {
  bytes_ -= entries_.back().bytes;
  by_id_.erase(entries_.back().scene->id);
  entries_.pop_back();
}

void SceneCache::clear() {
  const std::lock_guard lock(mutex_);
  by_id_.clear();
  entries_.clear();
  bytes_ = 0;
}

int64_t SceneCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

int64_t SceneCache::count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(entries_.size());
}

}  // namespace opencloc::serve
