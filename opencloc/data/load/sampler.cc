#include "opencloc/data/load/sampler.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/random_streams.h"
#include "opencloc/base/rng.h"

namespace opencloc {
namespace {

constexpr uint64_t kMostSamples = uint64_t{1} << 48;  // of a source

}  // namespace

Json sampler_position_to_json(const SamplerPosition& position) {
  Json sources = Json::array();
  for (const auto& source : position.sources) {
    sources.push_back({{"epoch", source.epoch}, {"next", source.next}});
  }
  return {{"drawn", position.drawn},
          {"order", static_cast<uint64_t>(position.order)},
          {"sources", std::move(sources)}};
}

SamplerPosition sampler_position_from_json(const Json& json, std::string_view where) {
  SamplerPosition position;
  const auto count = [&](const Json& object, const char* key) {
    const Json& value = json_at(object, key, where);
    if (!value.is_number_unsigned()) {
      throw Error::input(std::string("key '") + key + "' is not a count", where,
                         "use another checkpoint");
    }
    return value.get<uint64_t>();
  };
  position.drawn = count(json, "drawn");
  const uint64_t order = json.contains("order") ? count(json, "order") : 1;
  if (order < 1 || order > kSampleOrder) {
    throw Error::input("samples in order " + std::to_string(order) + ", which is not known", where,
                       "resume with the version of opencloc that wrote it");
  }
  position.order = static_cast<int>(order);
  for (const Json& source : json_at(json, "sources", where)) {
    position.sources.push_back({count(source, "epoch"), count(source, "next")});
  }
  return position;
}

Sampler::Sampler(std::vector<uint64_t> sizes, std::vector<double> weights, uint64_t seed)
    : seed_(seed), sizes_(std::move(sizes)) {
  if (weights.empty()) weights.assign(sizes_.begin(), sizes_.end());
  if (weights.size() != sizes_.size()) {
    throw Error::input(std::to_string(weights.size()) + " weights for " +
                           std::to_string(sizes_.size()) + " data sources",
                       "setting 'data_weights'", "give one weight a source, e.g. 1::2");
  }
  double sum = 0;
  for (size_t i = 0; i < sizes_.size(); ++i) {
    if (sizes_[i] == 0 || sizes_[i] > kMostSamples) {
      throw Error::input(
          "source " + std::to_string(i + 1) + " has " + std::to_string(sizes_[i]) + " samples",
          "setting 'data'", "give 1 to " + std::to_string(kMostSamples) + " samples a source");
    }
    if (!(weights[i] > 0) || !std::isfinite(weights[i])) {
      throw Error::input(
          "source " + std::to_string(i + 1) + " has the weight " + std::to_string(weights[i]),
          "setting 'data_weights'", "weights are numbers above 0");
    }
    cumulative_.push_back(sum += weights[i]);
  }
  if (sizes_.empty()) throw Error::input("no data source", "setting 'data'", "name at least one");
  for (double& edge : cumulative_) edge /= sum;
  position_.sources.resize(sizes_.size());
  for (size_t i = 0; i < sizes_.size(); ++i) order_.push_back(order_of(i));
}

Permutation Sampler::order_of(size_t source) const {
  return {
      sizes_[source],
      seed_,
      {random_stream::kShuffle, static_cast<uint64_t>(source), position_.sources[source].epoch}};
}

int Sampler::advance() {
  const double pick = Rng(seed_, {random_stream::kMix, position_.drawn++}).uniform();
  const auto edge = std::upper_bound(cumulative_.begin(), cumulative_.end(), pick);
  const auto last = static_cast<int>(cumulative_.size()) - 1;
  const int source = std::min(last, static_cast<int>(edge - cumulative_.begin()));
  auto& place = position_.sources[source];
  if (place.next == sizes_[source]) {
    place = {place.epoch + 1, 0};
    order_[source] = order_of(static_cast<size_t>(source));
  }
  ++place.next;
  return source;
}

Draw Sampler::next() {
  const int source = advance();
  const auto& place = position_.sources[source];
  return {source, place.epoch, order_[source][place.next - 1]};
}

void Sampler::skip(uint64_t draws) {
  while (draws-- > 0) advance();
}

void Sampler::seek(const SamplerPosition& position) {
  bool fits = position.sources.size() == sizes_.size();
  for (size_t i = 0; fits && i < sizes_.size(); ++i) {
    fits = position.sources[i].next <= sizes_[i];
  }
  if (!fits) {
    throw Error::input(
        "the saved position does not fit the data", "setting 'resume'",
        "give the same setting 'data' as before, or start anew with the setting 'resume=none'");
  }
  position_ = position;
  position_.order = kSampleOrder;
  for (size_t i = 0; i < sizes_.size(); ++i) order_[i] = order_of(i);
}

}  // namespace opencloc
