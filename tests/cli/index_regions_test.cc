// Where the boxes of an index come from, and where its hits end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/data/shard/shard_writer.h"
#include "tests/cli/index_verb.h"

namespace opencloc {
namespace {

using fixtures::noise_ppm;
using ::testing::HasSubstr;

class IndexRegions : public fixtures::IndexVerbTest {
 protected:
  // `count` pictures; every third has no boxes, the others two: "red" or "blue", and "thing".
  void write_shards(int count) const {
    ShardSetWriter out(folder_ / "shards");
    for (int i = 0; i < count; ++i) {
      Record record = fixtures::make_test_record("k" + std::to_string(i), "caption");
      record.image = noise_ppm(100u + static_cast<uint64_t>(i));
      record.regions.clear();
      if (i % 3 != 2) {
        record.regions.push_back({{0, 0, 0.5f, 1}, i % 3 == 0 ? "red" : "blue", 1, "human"});
        record.regions.push_back({{0.5f, 0, 1, 1}, "thing", 1, "human"});
      }
      out.write(record);
    }
    out.commit();
  }
  void write_vocabulary(int absent) const {
    std::string names = "red\nblue\n";
    for (int i = 0; i < absent; ++i) names += "a name " + std::to_string(i) + "\n";
    write_file(folder_ / "names.txt", names);
  }
};

TEST_F(IndexRegions, TheGridMayStandBesideTheDatasBoxes) {
  write_shards(3);
  EXPECT_EQ(add("--data " + at("shards") + " --regions both --grid 1,2")["vectors"],
            2 * (1 + 2 + 5) + 1 + 5);
  EXPECT_EQ(search("--id 1:1")["hits"][0]["text"], "red");
  EXPECT_EQ(json_of("index verify " + at("idx"))["faults"].size(), 0u);
}

TEST_F(IndexRegions, ADetectorsBoxesJoinTheDatasAndReplaceTheGrid) {
  write_shards(3);
  write_vocabulary(0);
  const std::string detector = " --detector " + at("model") +
                               " --detector-kind cloc --detector-threshold -0.99 --vocabulary " +
                               at("names.txt");
  const Json added = add("--data " + at("shards") + detector);
  const int64_t detected = added["detected"];
  EXPECT_GT(detected, 0);
  EXPECT_LE(detected, 3 * 2) << "a box a phrase";
  // No grid where there are boxes; the third picture has the detector's alone.
  EXPECT_EQ(added["vectors"], 3 + 4 + detected);
  EXPECT_EQ(json_of("index stats " + at("idx"))["region_texts"], 4 + detected);
  const Json both = add("--data " + at("shards") + " --regions both --grid 2" + detector, "beside");
  EXPECT_EQ(both["vectors"], 3 + 4 + detected + 3 * 4);
  const Json none = add("--data " + at("shards") + " --grid 2 --max-regions 1" + detector, "one");
  EXPECT_EQ(none["detected"], 3);

  EXPECT_THAT(refused("index add " + at("new") + " --model " + at("model") + " --regions grid" +
                      detector + " --data " + at("shards")),
              HasSubstr("no place in an index with --regions at grid"));
  EXPECT_THAT(refused("index add " + at("other") + " --model " + at("model") + " --detector " +
                      at("model") + " --data " + at("shards")),
              HasSubstr("--vocabulary"));
}

TEST_F(IndexRegions, CoarseBoxesAreKeptWhateverTheirQuality) {
  fixtures::write_tiny_model(folder_ / "model", {.quality_head = true});
  const Json added = add("--images " + at("photos") + " --grid 1,2,4 --keep 3 --coarse 2");
  EXPECT_EQ(added["vectors"], 5 * (1 + 5 + 3));
  const Json stats = json_of("index stats " + at("idx"));
  EXPECT_EQ(stats["keep"], 3);
  EXPECT_EQ(stats["coarse"], 2);
  json_of("index export " + at("idx") + " --out " + at("out"));
  const std::string rows = read_file(folder_ / "out/rows.jsonl");
  size_t large = 0;  // the whole of the grid's first level, stored as a region of every picture
  for (size_t at = 0; (at = rows.find("\"region\":1,", at)) != rows.npos; ++at) {
    const size_t end = rows.find('\n', at);
    large += rows.substr(at, end - at).find("\"box\":[0.0,0.0,1.0,1.0]") != rows.npos ? 1 : 0;
  }
  EXPECT_EQ(large, 5u);
  EXPECT_THAT(refused("index add " + at("idx") + " --coarse 1 --images " + at("photos")),
              HasSubstr("--coarse 2"));
}

TEST_F(IndexRegions, CalibrationSaysWhereHitsEnd) {
  write_shards(12);
  write_vocabulary(20);
  add("--data " + at("shards"));
  const std::string calibrate = "index calibrate " + at("idx") + " --data " + at("shards") +
                                " --vocabulary " + at("names.txt");
  EXPECT_EQ(search("red --cut auto")["cut"]["calibrated"], false);
  const Json done = json_of(calibrate);
  EXPECT_EQ(done["pictures"], 12);
  EXPECT_EQ(done["absent_names"], 20);
  EXPECT_EQ(done["pictures_not_in_the_data"], 0);
  ASSERT_EQ(done["cuts"].size(), 3u);
  EXPECT_EQ(json_of("index stats " + at("idx"))["cuts"].size(), 3u);
  const Json found = search("red --cut auto");
  EXPECT_EQ(found["cut"]["calibrated"], true);
  const Json& cut = done["cuts"][1];
  ASSERT_EQ(cut["unit"], "region");
  if (cut["by"] == "z") {
    EXPECT_NEAR(found["cut"]["z"].get<double>(), cut["limit"].get<double>(), 1e-9);
  }
  for (const Json& hit : found["hits"])
    EXPECT_GE(hit[cut["by"] == "z" ? "z" : "score"].get<double>(), cut["limit"].get<double>());
  write_vocabulary(5);
  EXPECT_THAT(refused(calibrate), HasSubstr("5 names that nothing holds"));
  EXPECT_THAT(refused("index calibrate " + at("idx") + " --data " + at("none") + " --vocabulary " +
                      at("names.txt")),
              HasSubstr("none"));
}

TEST_F(IndexRegions, AFilterChoosesPictures) {
  write_shards(9);
  add("--data " + at("shards"));
  const auto count = [&](const std::string& filter, const std::string& more = "") {
    return search("red --k 9 --filter '" + filter + "' " + more)["hits"].size();
  };
  EXPECT_EQ(count("width > 0"), 9u);
  EXPECT_EQ(count("text = \"red\""), 3u);
  EXPECT_EQ(count("not text = \"thing\""), 3u);
  EXPECT_EQ(count("name ~ \"#k4\" or id = 1"), 2u);
  EXPECT_EQ(count("text = \"red\"", "--unit image"), 3u);
  EXPECT_THAT(refused("search " + at("idx") + " red --filter 'size = 3'"), HasSubstr("'size = 3'"));
  EXPECT_EQ(json_of("index remove " + at("idx") + " --filter 'text = \"red\"'")["removed"], 3);
  EXPECT_EQ(count("width > 0"), 6u);
}

}  // namespace
}  // namespace opencloc
