// About the server itself: health, metrics, what it answers.
#include "opencloc/serve/health.h"
#include "opencloc/serve/router.h"
#include "opencloc/serve/static_files.h"

namespace opencloc::serve {
namespace {

constexpr unsigned char kOpenApi[] = {
#include "opencloc_openapi.inc"
};

// It is answered on the sockets' thread: that it is answered says that the loop turns.
void get_healthz(Service& service, const CallPtr& call) {
  call->respond(json_response({{"status", service.stopping ? "stopping" : "ok"}}));
}

void get_readyz(Service& service, const CallPtr& call) {
  check_ready(service, call, [&service, call](const std::optional<HttpError>& error) {
    if (error) return call->fail(*error);
    const bool loaded = service.engine.loaded();
    call->respond(json_response(
        {{"status", "ready"}, {"model", loaded ? "loaded" : "given back until it is needed"}}));
  });
}

void get_metrics(Service& service, const CallPtr& call) {
  std::vector<Metrics::Gauge> gauges;
  const auto add = [&](const char* name, const char* help, auto value, bool counter = false) {
    gauges.push_back({name, help, static_cast<double>(value), counter});
  };
  add("opencloc_requests_in_flight", "Requests that wait or are worked on.",
      service.in_flight.load());
  add("opencloc_overloaded_total", "Requests that were told to come again.",
      service.overloaded.load(), true);
  add("opencloc_waiting", "Pieces of work that wait for the compute thread.",
      service.batcher.waiting());
  add("opencloc_oldest_seconds", "What the oldest of them has waited.",
      service.batcher.oldest_seconds());
  add("opencloc_scenes", "Pictures that can be prompted.", service.scenes.count());
  add("opencloc_scene_bytes", "What they take in memory.", service.scenes.bytes());
  add("opencloc_decoded_bytes", "Pixels that wait for the model.", service.decoder.held_bytes());
  add("opencloc_model_loaded", "1 while the model is in memory.", service.engine.loaded() ? 1 : 0);
  if (const HttpCounts* counts = service.http_counts) {
    add("opencloc_connections", "Open connections.", counts->connections.load());
    add("opencloc_connections_total", "Connections that were taken.", counts->accepted.load(),
        true);
    add("opencloc_connections_refused_total", "Connections over the limits.",
        counts->refused.load(), true);
    add("opencloc_timeouts_total", "Connections that took too long.", counts->timed_out.load(),
        true);
    add("opencloc_slow_readers_total", "Connections that were closed because they read too slowly.",
        counts->cut_off.load(), true);
    add("opencloc_body_bytes", "Bodies of requests that are held.", counts->body_bytes.load());
    add("opencloc_answer_bytes", "Large answers that are being written.",
        counts->answer_bytes.load());
  }
  add("process_resident_memory_bytes", "Memory of this process.", resident_bytes());
  HttpResponse response = text_response(service.metrics.text(gauges));
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  call->respond(std::move(response));
}

void get_openapi(Service&, const CallPtr& call) {
  call->respond({.body = std::string(reinterpret_cast<const char*>(kOpenApi), sizeof kOpenApi)});
}

constexpr Route kMeta[] = {
    {"GET", "/healthz", Access::kOpen, BodyKind::kNone, Work::kLight, get_healthz},
    {"GET", "/readyz", Access::kOpen, BodyKind::kNone, Work::kLight, get_readyz},
    {"GET", "/metrics", Access::kKey, BodyKind::kNone, Work::kLight, get_metrics},
    {"GET", "/openapi.json", Access::kOpen, BodyKind::kNone, Work::kLight, get_openapi},
};

}  // namespace

std::span<const Route> meta_routes() { return kMeta; }

}  // namespace opencloc::serve
