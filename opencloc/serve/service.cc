#include "opencloc/serve/service.h"

#include "opencloc/search/indexer.h"

namespace opencloc::serve {

Service::Service(ServeOptions options_)
    : options(std::move(options_)),
      scenes(options.scene_cache),
      engine(options.model, options.load, options.idle_unload, [this] { scenes.clear(); }),
      indexes(options.indexes),
      decoder(options.decoder),
      batcher(engine, options.batch, metrics) {
  for (const auto& index : indexes.all())
    require_model(index->info(), engine.fingerprint(), engine.path(), index->path());
}

Service::~Service() {
  front.stop();
  decoding.stop();  // may wait for the batcher to free pixels
  batcher.stop();
}

ServedIndex& Service::index(const std::string& name) const {
  if (indexes.all().empty())
    throw Refused{not_found("the server has no index: start it with the setting 'index'", "index")};
  if (name.empty()) return *indexes.all().front();
  if (ServedIndex* found = indexes.find(name)) return *found;
  std::string names;
  for (const auto& index : indexes.all()) names += (names.empty() ? "" : ", ") + index->name();
  throw Refused{
      not_found("there is no index '" + name.substr(0, 100) + "': there are " + names, "index")};
}

}  // namespace opencloc::serve
