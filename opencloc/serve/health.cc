#include "opencloc/serve/health.h"

#include <cmath>

namespace opencloc::serve {
namespace {

constexpr double kStuckAfter = 30;  // seconds
constexpr std::chrono::seconds kFresh{30};
constexpr int kProbeSide = 64;

// Some pixels that are not all alike.
std::shared_ptr<Image> probe_picture() {
  auto image = std::make_shared<Image>(kProbeSide, kProbeSide);
  for (size_t i = 0; i < image->pixels.size(); ++i)
    image->pixels[i] = static_cast<uint8_t>(i * 37 % 251);
  return image;
}

bool sound(const std::vector<float>& vector) {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  return std::abs(squares - 1) < 1e-3;
}

}  // namespace

void check_ready(Service& service, const CallPtr& call,
                 std::function<void(const std::optional<HttpError>&)> then) {
  if (service.stopping) return then(unavailable("the server is stopping"));
  if (service.batcher.oldest_seconds() > kStuckAfter)
    return then(unavailable("work has waited for more than 30 seconds", 10));
  // A model that was given back is loaded by the next request, not by this one.
  if (!service.engine.loaded() || Call::Clock::now() - service.batcher.last_success() < kFresh) {
    return then(std::nullopt);
  }
  service.batcher.image(
      call, probe_picture(),
      [&service, call, then](const Scene& scene) {
        const bool picture = sound(scene.embedding().values);
        service.batcher.texts(call, {"a picture"},
                              [picture, then](const std::vector<Embedding>& texts) {
                                if (picture && sound(texts.front().values))
                                  return then(std::nullopt);
                                then(unavailable("the model gives no sound vectors", 10));
                              });
      },
      [then](const Error&) { then(unavailable("the model cannot encode a picture", 10)); });
}

}  // namespace opencloc::serve
