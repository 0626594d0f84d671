// Pictures that were encoded and can be prompted: the most recently used ones that fit.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "opencloc/api/opencloc.h"

namespace opencloc::serve {

struct CachedScene {
  std::string id;  // SHA-256 of the bytes, hexadecimal
  Scene scene;
  std::string picture;  // the bytes as they came
};
using ScenePtr = std::shared_ptr<const CachedScene>;

// What a scene takes in memory, in bytes.
int64_t bytes_of(const Scene& scene);

// Thread-safe.
class SceneCache {
 public:
  explicit SceneCache(int64_t bytes) : limit_(bytes) {}
  // Null when it is not there (any more); else it is the last that goes.
  ScenePtr find(const std::string& id);
  // A scene that is larger than all the cache may hold is kept alone.
  void put(ScenePtr scene);
  void clear();
  int64_t bytes() const;
  int64_t count() const;

 private:
  struct Entry {
    ScenePtr scene;
    int64_t bytes;
  };
  void drop_last();

  const int64_t limit_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // last used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_id_;
  int64_t bytes_ = 0;
};

}  // namespace opencloc::serve
