// `opencloc index` and `opencloc search` from end to end.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/data/shard/shard_writer.h"
#include "tests/cli/index_verb.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_line;
using fixtures::noise_ppm;
using fixtures::run_binary;
using fixtures::tiny_ppm;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using IndexVerb = fixtures::IndexVerbTest;

TEST_F(IndexVerb, AddFindsPicturesOnceAndNamesBrokenOnes) {
  fs::copy_file(photo("a"), photo("copy_of_a"));
  write_file(folder_ / "photos/broken.jpg", "no");
  write_file(folder_ / "photos/notes.txt", "not a picture");
  const Json first = add("--images " + at("photos") + " --batch-size 2 --commit-every 2");
  EXPECT_EQ(first["added"], 5);
  EXPECT_EQ(first["vectors"], 5 * 15);
  EXPECT_EQ(first["aliases"], 1);
  EXPECT_EQ(first["broken"], 1);
  EXPECT_THAT(first["broken_names"][0].get<std::string>(), HasSubstr("broken.jpg"));
  const Json again = add("--images " + at("photos"));
  EXPECT_EQ(again["added"], 0);
  EXPECT_EQ(again["aliases"], 0);
  EXPECT_EQ(again["unchanged"], 6);
  write_file(folder_ / "photos/f.ppm", noise_ppm(77));
  EXPECT_EQ(add("--images " + at("photos"))["added"], 1);

  const Json stats = json_of("index stats " + at("idx"));
  EXPECT_EQ(stats["pictures"], 6);
  EXPECT_EQ(stats["names"], 7);
  EXPECT_EQ(stats["vectors"], 90);
  EXPECT_EQ(stats["width"], 24);
  EXPECT_EQ(json_of("index verify " + at("idx"))["faults"].size(), 0u);
}

TEST_F(IndexVerb, SearchesByEverythingThatCanBeAsked) {
  add("--images " + at("photos"));
  const Json by_image = search("--image " + photo("c"));
  ASSERT_EQ(by_image["hits"].size(), 5u);
  EXPECT_EQ(by_image["hits"][0]["name"], photo("c"));
  EXPECT_NEAR(by_image["hits"][0]["score"].get<double>(), 1, 0.001);
  EXPECT_EQ(by_image["hits"][0]["region"], 0);
  EXPECT_EQ(by_image["hits"][0]["rank"], 1);
  EXPECT_EQ(by_image["scanned"], 5);

  const Json by_phrase = search("'a red car' --k 3");
  ASSERT_EQ(by_phrase["hits"].size(), 3u);
  EXPECT_EQ(by_phrase["scanned"], 70);
  for (const Json& hit : by_phrase["hits"]) {
    EXPECT_GT(hit["region"], 0);
    EXPECT_LE(hit["regions"].size(), 3u);
    const double z = (hit["score"].get<double>() - by_phrase["median"].get<double>()) /
                     by_phrase["deviation"].get<double>();
    EXPECT_NEAR(hit["z"].get<double>(), z, 1e-6);
  }

  // The grid's fourth box of the second level.
  const Json by_box = search("--image " + photo("b") + " --box 0.333333,0.333333,1,1");
  EXPECT_EQ(by_box["hits"][0]["name"], photo("b"));
  EXPECT_EQ(by_box["hits"][0]["region"], 5);
  EXPECT_NEAR(by_box["hits"][0]["score"].get<double>(), 1, 0.001);
  const std::string id = std::to_string(by_box["hits"][0]["id"].get<int64_t>());
  const Json by_id = search("--id " + id + ":5");
  EXPECT_EQ(by_id["hits"][0]["region"], 5);
  EXPECT_EQ(by_id["hits"][0]["name"], photo("b"));
  EXPECT_EQ(search("--id " + id)["hits"][0]["region"], 0);

  EXPECT_EQ(search("--image " + photo("b") + " --point 0.5,0.5")["hits"].size(), 5u);
  EXPECT_EQ(search("--image " + photo("b") + " --prompt 'two dogs'")["hits"].size(), 5u);
  write_file(folder_ / "mask.ppm", tiny_ppm(8, 8, 200));
  EXPECT_EQ(search("--image " + photo("b") + " --mask " + at("mask.ppm"))["hits"].size(), 5u);
  std::string numbers = "[";
  for (int i = 0; i < 24; ++i) numbers += (i > 0 ? ", " : "") + std::to_string(i % 5 - 2);
  write_file(folder_ / "vector.json", numbers + "]");
  EXPECT_EQ(search("--embedding " + at("vector.json") + " --unit both")["scanned"], 75);

  EXPECT_EQ(search("'a red car' --min-score 2")["hits"].size(), 0u);
  const Json cut = search("'a red car' --cut 100");
  EXPECT_EQ(cut["hits"].size(), 0u);
  EXPECT_EQ(cut["cut"]["below"], 5);
  EXPECT_EQ(search("'a red car' --cut auto")["cut"]["mode"], "auto");
  const auto text = run_binary("search " + at("idx") + " 'a red car' --k 2");
  EXPECT_THAT(text.out, HasSubstr("70 rows searched"));
}

TEST_F(IndexVerb, WhatIsRemovedIsNotFound) {
  fs::copy_file(photo("a"), photo("copy"));
  add("--images " + at("photos"));
  const std::string query = "--image " + photo("a");
  EXPECT_EQ(json_of("index remove " + at("idx") + " --images " + photo("a"))["removed"], 0);
  EXPECT_EQ(search(query)["hits"][0]["name"], photo("copy"));
  EXPECT_EQ(json_of("index remove " + at("idx") + " --images " + photo("copy"))["removed"], 1);
  EXPECT_EQ(search(query)["hits"].size(), 4u);
  fs::remove(photo("b"));
  EXPECT_EQ(json_of("index remove " + at("idx") + " --missing")["removed"], 1);
  const Json hits = search(query)["hits"];
  ASSERT_EQ(hits.size(), 3u);
  const std::string id = std::to_string(hits[0]["id"].get<int64_t>());
  EXPECT_EQ(json_of("index remove " + at("idx") + " --ids " + id + ",999")["removed"], 1);
  const Json before = search(query)["hits"];
  ASSERT_EQ(before.size(), 2u);
  EXPECT_EQ(json_of("index compact " + at("idx"))["dropped"], 45);
  EXPECT_EQ(search(query)["hits"], before);
  EXPECT_EQ(json_of("index verify " + at("idx"))["vectors"], 30);
}

TEST_F(IndexVerb, ShardsGiveTheirBoxesTextsAndPictures) {
  {
    ShardSetWriter out(folder_ / "shards");
    for (int i = 0; i < 4; ++i) {
      Record record = fixtures::make_test_record("k" + std::to_string(i), "<b>caption</b>");
      record.image = noise_ppm(100u + static_cast<uint64_t>(i));
      if (i != 3) {
        record.regions.push_back({{0, 0, 0.5f, 1}, "left of " + std::to_string(i), 1, "human"});
        record.regions.push_back({{0.5f, 0, 1, 1}, "right", 1, "human"});
      }
      out.write(record);
    }
    out.commit();
  }
  const Json added = add("--data " + at("shards"));
  EXPECT_EQ(added["added"], 4);
  EXPECT_EQ(added["vectors"], 3 * 3 + 15);  // the last one has the grid
  EXPECT_EQ(add("--data " + at("shards"))["unchanged"], 4);
  const Json stats = json_of("index stats " + at("idx"));
  EXPECT_EQ(stats["region_texts"], 6);
  const Json found = search("--id 2:1 --html " + at("found.html"));
  const Json& hit = found["hits"][0];
  EXPECT_EQ(hit["text"], "left of 1");
  EXPECT_EQ(hit["caption"], "<b>caption</b>");
  EXPECT_THAT(hit["name"].get<std::string>(), HasSubstr("#k1"));
  const std::string page = read_file(folder_ / "found.html");
  EXPECT_THAT(page, HasSubstr("data:image/jpeg;base64,"));
  EXPECT_THAT(page, HasSubstr("left of 1"));
  EXPECT_THAT(page, Not(HasSubstr("<b>caption")));
  EXPECT_EQ(add("--data " + at("shards") + " --regions none", "plain")["vectors"], 4);
  EXPECT_EQ(search("'two dogs'", "plain")["hits"][0]["region"], 0);
}

TEST_F(IndexVerb, ExportAndImportChangeNothing) {
  fs::copy_file(photo("a"), photo("copy"));
  add("--images " + at("photos") + " --grid 1,2");
  EXPECT_EQ(json_of("index export " + at("idx") + " --out " + at("out"))["vectors"], 30);
  const Json imported = json_of("index import " + at("copy") + " --embeddings " + at("out"));
  EXPECT_EQ(imported["pictures"], 5);
  EXPECT_EQ(imported["vectors"], 30);
  EXPECT_EQ(json_of("index stats " + at("copy"))["names"], 6);
  EXPECT_EQ(search("'a red car'", "copy")["hits"], search("'a red car'")["hits"]);
  EXPECT_EQ(json_of("index verify " + at("copy"))["faults"].size(), 0u);
  json_of("index export " + at("idx") + " --to qdrant --out " + at("points"));
  const std::string points = read_file(folder_ / "points/points.jsonl");
  EXPECT_EQ(std::count(points.begin(), points.end(), '\n'), 30);
  const Json point = parse_json(points.substr(0, points.find('\n')), "points");
  EXPECT_EQ(point["vector"].size(), 24u);
  EXPECT_EQ(point["payload"]["region"], 0);

  // As clip-retrieval lays them out; rows are pictures then.
  fs::create_directories(folder_ / "theirs/img_emb");
  fs::copy_file(folder_ / "out/vectors.npy", folder_ / "theirs/img_emb/img_emb_0.npy");
  json_of("index import " + at("laion") + " --embeddings " + at("theirs") + " --model " +
          at("model"));
  const Json hits = search("'a red car' --k 50", "laion")["hits"];
  ASSERT_EQ(hits.size(), 30u);
  EXPECT_THAT(hits[0]["name"].get<std::string>(), HasSubstr("img_emb_0.npy#"));
}

TEST_F(IndexVerb, QualitiesAreStoredAndWeighTheScores) {
  add("--images " + at("photos"), "plain");
  const Json plain = search("'a red car' --k 3", "plain");
  EXPECT_FALSE(plain["hits"][0].contains("quality"));
  EXPECT_EQ(search("'a red car' --k 3 --quality off", "plain")["hits"], plain["hits"]);
  EXPECT_EQ(json_of("index stats " + at("plain"))["quality"], false);
  EXPECT_THAT(refused("index add " + at("few") + " --model " + at("model") + " --keep 3 --images " +
                      at("photos")),
              HasSubstr("--keep"));
  fs::remove_all(folder_ / "model");
  fixtures::write_tiny_model(folder_ / "model", {.quality_head = true});
  add("--images " + at("photos"));
  EXPECT_EQ(json_of("index stats " + at("idx"))["quality"], true);
  EXPECT_EQ(json_of("index verify " + at("idx"))["faults"].size(), 0u);
  const Json on = search("'a red car'"), off = search("'a red car' --quality off");
  for (const Json& hit : on["hits"]) {
    const double quality = hit["quality"], cosine = hit["cosine"];
    EXPECT_GT(quality, 0);
    EXPECT_LT(quality, 1);
    EXPECT_LT(hit["score"].get<double>(), cosine);
    for (const Json& more : hit["regions"]) EXPECT_TRUE(more.contains("quality"));
  }
  for (const Json& hit : off["hits"]) EXPECT_EQ(hit["score"], hit["cosine"]);
  EXPECT_NE(on["median"], off["median"]);
  EXPECT_FALSE(search("--image " + photo("c"))["hits"][0].contains("quality"));
  EXPECT_THAT(run_binary("search " + at("idx") + " 'a red car' --k 2").out, HasSubstr("cosine"));

  EXPECT_EQ(add("--images " + at("photos") + " --grid 1,2,3,4 --keep 6", "few")["vectors"],
            5 * (1 + 5 + 6))
      << "the levels of 1 and 2 boxes a side are kept besides";
  EXPECT_EQ(json_of("index stats " + at("few"))["keep"], 6);
  EXPECT_THAT(refused("index add " + at("few") + " --keep 5 --images " + photo("a")),
              HasSubstr("--keep 6"));
  const auto all = search("'a red car' --k 5", "idx"), few = search("'a red car' --k 5", "few");
  EXPECT_EQ(all["scanned"], 70);
  EXPECT_EQ(few["scanned"], 55);
}

TEST_F(IndexVerb, ManyQueriesGiveALineEach) {
  add("--images " + at("photos"));
  write_file(folder_ / "queries.txt", "a red car\ntwo dogs\n");
  const auto result =
      run_binary("search " + at("idx") + " --deduplicate off --queries " + at("queries.txt"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const size_t end = result.out.find('\n');
  const Json first = parse_json(result.out.substr(0, end), "line 1"),
             second = parse_json(result.out.substr(end + 1), "line 2");
  EXPECT_EQ(first["query"], "a red car");
  EXPECT_EQ(first["hits"], search("'a red car'")["hits"]);
  EXPECT_EQ(second["hits"], search("'two dogs'")["hits"]);
  EXPECT_THAT(refused("search " + at("idx") + " car --queries " + at("queries.txt")),
              HasSubstr("excludes"));
}

TEST_F(IndexVerb, AnotherModelIsRefusedByName) {
  add("--images " + at("photos"));
  fixtures::write_tiny_model(folder_ / "other", {.canvas = CanvasRule::kShortest});
  const std::string wrong = refused("search " + at("idx") + " 'a car' --model " + at("other"));
  EXPECT_THAT(wrong, HasSubstr(at("model")));
  EXPECT_THAT(wrong, HasSubstr(at("other")));
  EXPECT_THAT(
      refused("index add " + at("idx") + " --model " + at("other") + " --images " + photo("a")),
      HasSubstr("fingerprint"));
  fs::rename(folder_ / "model", folder_ / "moved");
  EXPECT_THAT(refused("search " + at("idx") + " 'a car'"), HasSubstr("--model"));
  EXPECT_EQ(search("'a car' --model " + at("moved"))["hits"].size(), 5u);
}

TEST_F(IndexVerb, WrongUsageIsSaidInALine) {
  EXPECT_THAT(refused("index add " + at("idx") + " --model " + at("model")),
              HasSubstr("no pictures are named"));
  EXPECT_THAT(refused("index add " + at("idx") + " --images " + at("photos")),
              HasSubstr("needs a model"));
  EXPECT_THAT(refused("search " + at("idx") + " 'a car'"), HasSubstr("no index here"));
  EXPECT_THAT(refused("index add " + at("photos") + " --model " + at("model") + " --images " +
                      at("photos")),
              HasSubstr("something else than an index"));
  add("--images " + at("photos"));
  const std::string search = "search " + at("idx") + " ";
  EXPECT_THAT(refused(search), HasSubstr("nothing is searched for"));
  EXPECT_THAT(refused(search + "car --id 3"), HasSubstr("several things"));
  EXPECT_THAT(refused(search + "car --box 0,0,1,1"), HasSubstr("--image"));
  EXPECT_THAT(refused(search + "--image " + photo("a") + " --box 0,0,1"), HasSubstr("4 numbers"));
  EXPECT_THAT(refused(search + "--id 99"), HasSubstr("has no 99"));
  EXPECT_THAT(refused(search + "--id 1:99"), HasSubstr("has no 1:99"));
  EXPECT_THAT(refused(search + "--id x"), HasSubstr("no id of the index"));
  EXPECT_THAT(refused(search + "car --cut much"), HasSubstr("--cut"));
  EXPECT_THAT(refused(search + "--image " + at("none.jpg")), HasSubstr("none.jpg"));
  EXPECT_THAT(refused("index remove " + at("idx")), HasSubstr("nothing is named"));
  EXPECT_THAT(refused("index add " + at("idx") + " --regions none --images " + at("photos")),
              HasSubstr("--regions labels"));
}

TEST_F(IndexVerb, DamageEndsWithOne) {
  add("--images " + at("photos"));
  const fs::path file = folder_ / "idx/segments/00000001.seg";
  std::string bytes = read_file(file);
  bytes[300] = static_cast<char>(bytes[300] ^ 1);
  write_file(file, bytes);
  const auto result = run_binary("index verify " + at("idx"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("are damaged"));
}

}  // namespace
}  // namespace opencloc
