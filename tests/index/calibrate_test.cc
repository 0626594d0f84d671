#include "opencloc/index/calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/index/search.h"
#include "small_index.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

using fixtures::error_of;
using fixtures::made_up_picture;
using fixtures::made_up_vector;
using fixtures::SmallIndex;
using fixtures::unit;
using ::testing::HasSubstr;

constexpr int kNames = 10, kEach = 4, kAbsent = 20;

// The query of a name, and something near it.
std::vector<float> name_vector(int name) {
  return made_up_vector(90'000u + static_cast<uint64_t>(name));
}
std::vector<float> like_name(int name, uint64_t seed) {
  auto vector = made_up_vector(seed);
  const auto wanted = name_vector(name);
  for (size_t i = 0; i < vector.size(); ++i) vector[i] = 0.6f * wanted[i] + 0.4f * vector[i];
  return unit(std::move(vector));
}

class CalibratedIndex : public ::testing::Test {
 protected:
  void SetUp() override {
    IndexWriter writer(small_.path());
    for (int i = 0; i < 300; ++i) {
      NewPicture picture = made_up_picture(i);
      if (i < kNames * kEach) {  // picture i holds name i % kNames, as a whole and in a region
        picture.vector = like_name(i % kNames, 5000u + static_cast<uint64_t>(i));
        picture.regions.push_back({{0, 0, 1, 1}, "", like_name(i % kNames, 6000u + i)});
      }
      writer.add(picture);
    }
    writer.commit();
    for (int name = 0; name < kNames; ++name) {
      NamedQuery query{"name " + std::to_string(name), name_vector(name), {}};
      for (int i = 0; i < kEach; ++i) query.pictures.insert(name + i * kNames + 1);
      names_.push_back(query);
    }
    for (int name = kNames; name < kNames + kAbsent; ++name)
      names_.push_back({"absent " + std::to_string(name), name_vector(name), {}});
  }
  SmallIndex small_;
  std::vector<NamedQuery> names_;
};

TEST_F(CalibratedIndex, SearchesEndWhereTheWantedShareOfAbsentNamesFindsNothing) {
  IndexReader served(small_.path());  // opened before: as a running server
  SearchOptions options{.unit = SearchUnit::kPicture, .fold = false};
  options.cut.mode = Cut::Mode::kAuto;
  EXPECT_FALSE(search(served, {&names_[0].vector, 1}, options).front().calibrated);

  const auto kinds = calibrate(IndexReader(small_.path()), names_, 0.9);
  ASSERT_EQ(kinds.size(), 3u) << "without qualities a kind for each unit";
  std::vector<CalibratedCut> cuts;
  for (const CalibratedKind& kind : kinds) {
    cuts.push_back(kind.cut);
    EXPECT_EQ(kind.true_hits, kNames * kEach);
    EXPECT_NEAR(kind.by_z.absent_share, 0.9, 1e-9);
    EXPECT_NEAR(kind.by_score.absent_share, 0.9, 1e-9);
    EXPECT_GT(std::max(kind.by_z.true_share, kind.by_score.true_share), 0.9);
    EXPECT_EQ(kind.cut.flat, kind.by_score.true_share > kind.by_z.true_share);
  }
  IndexWriter(small_.path()).set_cuts(cuts);
  EXPECT_TRUE(served.refresh());
  EXPECT_EQ(served.cuts(), cuts);
  for (const CalibratedKind& kind : kinds) {
    options.unit = kind.cut.unit;
    int without = 0, kept = 0;
    for (const NamedQuery& name : names_) {
      const auto result = search(served, {&name.vector, 1}, options).front();
      EXPECT_TRUE(result.calibrated);
      if (name.pictures.empty()) without += result.hits.empty() ? 1 : 0;
      for (const Hit& hit : result.hits) kept += name.pictures.contains(hit.picture) ? 1 : 0;
    }
    EXPECT_EQ(without, 18) << "of 20";
    const CutEffect& effect = kind.cut.flat ? kind.by_score : kind.by_z;
    EXPECT_EQ(kept, std::lround(effect.true_share * kNames * kEach));
  }
}

TEST_F(CalibratedIndex, KeepsTheLastCalibrationAlone) {
  const CalibratedCut first[] = {{SearchUnit::kBoth, SearchScore::kQuality, true, 0.5},
                                 {SearchUnit::kPicture, SearchScore::kCosine, false, 3.25}};
  const CalibratedCut second[] = {{SearchUnit::kRegion, SearchScore::kCosine, true, 0.125}};
  IndexWriter writer(small_.path());
  writer.set_cuts(first);
  EXPECT_THAT(IndexReader(small_.path()).cuts(), ::testing::ElementsAreArray(first));
  writer.set_cuts(second);
  EXPECT_THAT(IndexReader(small_.path()).cuts(), ::testing::ElementsAreArray(second));
  // Adding, removing and compacting leave it.
  writer.remove(std::vector<int64_t>{3});
  writer.compact();
  EXPECT_THAT(IndexReader(small_.path()).cuts(), ::testing::ElementsAreArray(second));
}

TEST_F(CalibratedIndex, TooLittleToLearnFromIsRefused) {
  const IndexReader index(small_.path());
  const std::span<const NamedQuery> all = names_;
  EXPECT_THAT(error_of([&] { calibrate(index, all.first(kNames + 9), 0.9); }),
              HasSubstr("9 names that nothing holds"));
  EXPECT_THAT(error_of([&] { calibrate(index, all.subspan(kNames), 0.9); }),
              HasSubstr("no name for any picture"));
}

TEST(Cuts, WhatIsNoneIsRefused) {
  const CalibratedCut cut{SearchUnit::kRegion, SearchScore::kQuality, false, 4.5};
  const Json sound = cuts_json({&cut, 1});
  EXPECT_EQ(parse_cuts(sound, "test").at(0), cut);
  for (const char* key : {"unit", "score", "by", "limit"}) {
    Json other = sound;
    other[0][key] = "else";
    EXPECT_THAT(error_of([&] { parse_cuts(other, "test"); }), HasSubstr("cut-offs that are none"));
    other[0].erase(key);
    EXPECT_THAT(error_of([&] { parse_cuts(other, "test"); }), HasSubstr("cut-offs that are none"));
  }
  EXPECT_THAT(error_of([] { parse_cuts(Json(7), "test"); }), HasSubstr("cut-offs that are none"));
}

}  // namespace
}  // namespace opencloc
