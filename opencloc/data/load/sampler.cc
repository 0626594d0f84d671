#include "opencloc/data/load/sampler.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/random_streams.h"
#include "opencloc/base/rng.h"

namespace opencloc {
Json sampler_position_to_json(const SamplerPosition& position) {
  Json sources = Json::array();
  for (const auto& source : position.sources) {
    sources.push_back({{"epoch", source.epoch}, {"next", source.next}});
  }
  return {{"drawn", position.drawn}, {"sources", std::move(sources)}};
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
    if (sizes_[i] == 0 || sizes_[i] > std::numeric_limits<uint32_t>::max()) {
      throw Error::input(
          "source " + std::to_string(i + 1) + " has " + std::to_string(sizes_[i]) + " samples",
          "setting 'data'", "give 1 to 4294967295 samples a source");
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
  order_.resize(sizes_.size());
  for (size_t i = 0; i < sizes_.size(); ++i) shuffle(static_cast<int>(i));
}

void Sampler::shuffle(int source) {
  auto& order = order_[source];
  order.resize(sizes_[source]);
  std::iota(order.begin(), order.end(), 0U);
  Rng(seed_,
      {random_stream::kShuffle, static_cast<uint64_t>(source), position_.sources[source].epoch})
      .shuffle(order);
}

Draw Sampler::next() {
  const double pick = Rng(seed_, {random_stream::kMix, position_.drawn++}).uniform();
  const auto edge = std::upper_bound(cumulative_.begin(), cumulative_.end(), pick);
  const auto last = static_cast<int>(cumulative_.size()) - 1;
  const int source = std::min(last, static_cast<int>(edge - cumulative_.begin()));
  auto& place = position_.sources[source];
  if (place.next == sizes_[source]) {
    place = {place.epoch + 1, 0};
    shuffle(source);
  }
  return {source, place.epoch, order_[source][place.next++]};
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
  for (size_t i = 0; i < sizes_.size(); ++i) shuffle(static_cast<int>(i));
}

}  // namespace opencloc
