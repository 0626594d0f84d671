#include "opencloc/data/load/permutation.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/data/load/sampler.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

std::vector<uint64_t> all_of(const Permutation& order) {
  std::vector<uint64_t> places;
  for (uint64_t i = 0; i < order.size(); ++i) places.push_back(order[i]);
  return places;
}

TEST(Permutation, HoldsEveryNumberOnce) {
  std::vector<uint64_t> sizes = {1000, 1023, 1024, 1025, 4095, 4097, 65535, 65537, 100003};
  for (uint64_t size = 1; size < 300; ++size) sizes.push_back(size);
  for (const uint64_t size : sizes) {
    auto places = all_of(Permutation(size, 5, {1, size}));
    std::ranges::sort(places);
    for (uint64_t i = 0; i < size; ++i) ASSERT_EQ(places[i], i) << "of " << size;
  }
}

TEST(Permutation, LargeSizesStayInsideWithoutRepeats) {
  for (const uint64_t size :
       {uint64_t{4'294'967'296}, uint64_t{5'000'000'001}, (uint64_t{1} << 48) - 59}) {
    const Permutation order(size, 1, {2});
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < 20'000; ++i) {
      const uint64_t value = order[i * (size / 20'000)];
      ASSERT_LT(value, size);
      ASSERT_TRUE(seen.insert(value).second);
    }
  }
}

TEST(Permutation, SeedsSourcesAndEpochsDiffer) {
  const auto base = all_of(Permutation(1000, 7, {1, 0}));
  EXPECT_EQ(all_of(Permutation(1000, 7, {1, 0})), base);
  for (const auto& other :
       {Permutation(1000, 8, {1, 0}), Permutation(1000, 7, {2, 0}), Permutation(1000, 7, {1, 1})}) {
    int equal = 0;
    for (uint64_t i = 0; i < 1000; ++i) equal += other[i] == base[i] ? 1 : 0;
    EXPECT_LT(equal, 10);  // 1 is expected
  }
}

// Where the first places lead, over many epochs: evenly, also from one to the next.
TEST(Permutation, FirstPlacesAndStepsAreEven) {
  for (const uint64_t size : {uint64_t{10}, uint64_t{1000}, uint64_t{10'000'019}}) {
    constexpr int kBins = 10, kEpochs = 20'000;
    for (const uint64_t place : {uint64_t{0}, uint64_t{1}, size / 2}) {
      std::vector<double> values(kBins), steps(kBins);
      for (uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
        const Permutation order(size, 3, {0, epoch});
        const uint64_t value = order[place], next = order[place + 1 < size ? place + 1 : 0];
        ++values[static_cast<size_t>(value * kBins / size)];
        // 1 ... size - 1, as two places never hold the same.
        const uint64_t step = (next + size - value) % size - 1;
        ++steps[static_cast<size_t>(step * kBins / (size - 1))];
      }
      double chi_values = 0, chi_steps = 0;
      for (int bin = 0; bin < kBins; ++bin) {
        const double wanted = kEpochs / static_cast<double>(kBins);
        chi_values += std::pow(values[static_cast<size_t>(bin)] - wanted, 2) / wanted;
        if (size > 10) chi_steps += std::pow(steps[static_cast<size_t>(bin)] - wanted, 2) / wanted;
      }
      // 9 degrees of freedom: 40 is passed by 1 in 100,000 even tables.
      EXPECT_LT(chi_values, 40) << size << " at " << place;
      EXPECT_LT(chi_steps, 40) << size << " at " << place;
    }
  }
}

// All 24 orders of four samples come up about as often.
TEST(Permutation, SmallSizesHaveAllTheirOrders) {
  std::map<std::vector<uint64_t>, int> seen;
  constexpr int kEpochs = 24'000;
  for (uint64_t epoch = 0; epoch < kEpochs; ++epoch) ++seen[all_of(Permutation(4, 1, {epoch}))];
  ASSERT_EQ(seen.size(), 24U);
  double chi = 0;
  for (const auto& [order, count] : seen) chi += std::pow(count - 1000.0, 2) / 1000;
  EXPECT_LT(chi, 65);  // 23 degrees of freedom: 1 in 100,000
}

TEST(Permutation, NeighboursDoNotStayTogether) {
  constexpr uint64_t kSize = 50'000;
  const Permutation order(kSize, 9, {4});
  int together = 0;
  double sum = 0;
  for (uint64_t i = 0; i + 1 < kSize; ++i) {
    const auto step = std::abs(static_cast<double>(order[i]) - static_cast<double>(order[i + 1]));
    together += step <= 10 ? 1 : 0;
    sum += step;
  }
  EXPECT_LT(together, 60);  // 20 are expected
  EXPECT_NEAR(sum / kSize / kSize, 1.0 / 3, 0.01);
}

TEST(Sampler, TakesMoreSamplesThanFitInMemory) {
  Sampler sampler({uint64_t{1} << 40, 7}, {1, 1}, 2);
  for (int i = 0; i < 1000; ++i) {
    const Draw draw = sampler.next();
    EXPECT_LT(draw.index, draw.source == 0 ? uint64_t{1} << 40 : 7);
  }
  EXPECT_THROW(Sampler({(uint64_t{1} << 48) + 1}, {}, 0), Error);
}

TEST(Sampler, SkippingIsDrawingWithoutLooking) {
  Sampler drawn({13, 29}, {1, 2}, 6), skipped({13, 29}, {1, 2}, 6);
  for (int i = 0; i < 100; ++i) drawn.next();
  skipped.skip(100);
  EXPECT_EQ(skipped.position(), drawn.position());
  for (int i = 0; i < 100; ++i) EXPECT_EQ(skipped.next(), drawn.next());
}

// A state.json from before there was an "order" is read, and says that it was another one.
TEST(Sampler, PositionsOfOlderRunsAreRead) {
  const Json old = Json::parse(R"({"drawn": 9, "sources": [{"epoch": 1, "next": 4}]})");
  const SamplerPosition position = sampler_position_from_json(old, "state.json");
  EXPECT_EQ(position.order, 1);
  Sampler sampler({5}, {}, 0);
  sampler.seek(position);
  EXPECT_EQ(sampler.position().order, kSampleOrder);
  EXPECT_EQ(sampler.next().epoch, 1U);  // the fifth of five
  EXPECT_EQ(sampler.next().epoch, 2U);
  Json newer = old;
  newer["order"] = kSampleOrder + 1U;
  EXPECT_NE(fixtures::error_of([&] {
              sampler_position_from_json(newer, "state.json");
            }).find("not known"),
            std::string::npos);
}

}  // namespace
}  // namespace opencloc
