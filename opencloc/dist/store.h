// Small texts that all processes of a job write and read: c10d's TCPStore. Rank 0 keeps them, or
// the launcher does.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <torch/types.h>

#include "opencloc/dist/place.h"

namespace c10d {
class Store;
}

namespace opencloc::dist {

// Thread-safe; a call waits for one under way. All of them throw std::exception when the store does
// not answer any more.
class Store {
 public:
  // Throws Error (failed) when nobody answers at place.host within `timeout`, Error (input) when
  // the port is taken. `serve`: this process keeps the store.
  Store(const Place& place, bool serve, std::chrono::milliseconds timeout);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  void set(const std::string& key, const std::string& text);
  std::optional<std::string> get(const std::string& key);
  int64_t add(const std::string& key, int64_t count);
  // The first to set it wins: what stands there then.
  std::string set_first(const std::string& key, const std::string& text);
  // For c10d's groups; `name` keeps their keys apart.
  c10::intrusive_ptr<c10d::Store> part(const std::string& name) const;

 private:
  c10::intrusive_ptr<c10d::Store> store_;
};

}  // namespace opencloc::dist
