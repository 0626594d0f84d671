// All that routes work with: the model, the indexes, the threads.
//
// A request takes this way: the sockets' thread (http_server) -> `front`, which reads its JSON ->
// `decoding`, which makes pixels of pictures -> `batcher`, where the model and the indexes are ->
// `front`, which writes the answer. Each is one thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "opencloc/api/opencloc.h"
#include "opencloc/serve/batcher.h"
#include "opencloc/serve/decoder.h"
#include "opencloc/serve/http_server.h"
#include "opencloc/serve/index_set.h"
#include "opencloc/serve/lane.h"
#include "opencloc/serve/metrics.h"
#include "opencloc/serve/model_engine.h"
#include "opencloc/serve/scene_cache.h"

namespace opencloc::serve {

struct ServeOptions {
  std::string model;
  LoadOptions load = {};
  std::vector<NamedIndex> indexes = {};
  HttpServerOptions http = {};
  std::vector<std::string> api_keys = {};  // empty: everybody may ask
  std::vector<std::string> allow_hosts = {};
  std::vector<std::string> cors_origins = {};
  std::string url_prefix = {};
  DecoderLimits decoder = {};
  BatcherOptions batch = {};
  int queue = 64;                   // requests that wait or are worked on; half of it pictures
  int64_t scene_cache = 256 << 20;  // bytes
  double idle_unload = 0;           // seconds; 0 = never
  bool read_only = true;
};

struct Service {
  // Loads the model, opens the indexes. Throws Error (input) when one of them is of another model.
  explicit Service(ServeOptions options_);
  // Ends the threads; requests that are still there get no answer from here.
  ~Service();

  const ServeOptions options;
  Metrics metrics;
  SceneCache scenes;
  ModelEngine engine;
  IndexSet indexes;
  std::atomic<int> in_flight = 0;           // requests that count against the queue
  std::atomic<int> pictures_in_flight = 0;  // those of them that make pixels first
  std::atomic<int64_t> overloaded = 0;      // requests that were told to come again
  std::atomic<bool> stopping = false;
  // Set by the server that carries it.
  std::function<int64_t()> milliseconds_since_turn = [] { return int64_t{0}; };
  const HttpCounts* http_counts = nullptr;
  Lane front;
  Decoder decoder;
  Lane decoding;
  Batcher batcher;

  // The index a request names; the first when it names none. Throws Refused.
  ServedIndex& index(const std::string& name) const;
};

}  // namespace opencloc::serve
