// `opencloc index` and `opencloc search` on a real PostgreSQL, beside a folder.
#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/rng.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/cli/run_binary.h"
#include "tests/index/postgres_server.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_line;
using fixtures::PostgresServer;
using fixtures::run_binary;
using fixtures::tiny_ppm;
using ::testing::HasSubstr;
using ::testing::Not;

class IndexInPostgres : public fixtures::BinaryTest {
 protected:
  void SetUp() override {
    OPENCLOC_NEEDS_POSTGRES();
    fixtures::write_tiny_model(folder_ / "model");
    for (const char* name : {"a", "b", "c", "d", "caf\xe9 'quoted\\"}) {
      std::string ppm = tiny_ppm(40, 30);
      Rng rng(std::string_view(name).size() * 256 + static_cast<uint64_t>(name[0]));
      for (size_t i = ppm.size() - 3600; i < ppm.size(); ++i)
        ppm[i] = static_cast<char>(rng.below(256));
      write_file(folder_ / "photos" / (std::string(name) + ".ppm"), ppm);
    }
    std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::transform(name.begin(), name.end(), name.begin(), ::tolower);
    place_ = "'" + PostgresServer::get().place(name.substr(0, 40)) + "'";
  }
  Json json_of(const std::string& arguments) const {
    const auto result = run_binary(arguments + " --json");
    EXPECT_EQ(result.exit_code, 0) << arguments << "\n" << result.err;
    return result.exit_code == 0 ? parse_json(result.out, "stdout") : Json::object();
  }
  Json add(const std::string& place) const {
    return json_of("index add " + place + " --model " + at("model") + " --images " + at("photos"));
  }
  std::string place_;  // in quotes for the shell
};

TEST_F(IndexInPostgres, FindsWhatAFolderFinds) {
  const Json added = add(place_);
  EXPECT_EQ(added["added"], 5);
  EXPECT_EQ(added["vectors"], 5 * 15);
  EXPECT_EQ(add(place_)["unchanged"], 5);
  add(at("idx"));
  for (const std::string query :
       {"'a red car' --k 3", "--id 2", "--id 3:4", "'two dogs' --unit both",
        "--image photos/a.ppm --box 0.2,0.2,0.8,0.9"}) {
    SCOPED_TRACE(query);
    std::string rest = " --deduplicate off " + query;
    if (const size_t file = rest.find("photos/"); file != rest.npos) rest.insert(file, at(""));
    const Json ours = json_of("search " + place_ + rest),
               theirs = json_of("search " + at("idx") + rest);
    EXPECT_EQ(ours["scanned"], theirs["scanned"]);
    // Scores of vectors in 16 bits of two kinds, of which half precision is the coarser one: near
    // each other, so that close ones may change places.
    constexpr double kHalfPrecision = 0x1p-11;
    std::map<int64_t, double> scores;
    for (const Json& hit : theirs["hits"])
      scores[hit["id"].get<int64_t>()] = hit["score"].get<double>();
    ASSERT_EQ(ours["hits"].size(), theirs["hits"].size());
    for (size_t i = 0; i < ours["hits"].size(); ++i) {
      const Json& hit = ours["hits"][i];
      EXPECT_NEAR(hit["score"].get<double>(), theirs["hits"][i]["score"].get<double>(),
                  kHalfPrecision);
      const auto same = scores.find(hit["id"].get<int64_t>());
      if (same == scores.end()) continue;
      EXPECT_NEAR(hit["score"].get<double>(), same->second, kHalfPrecision);
    }
  }
  const Json stats = json_of("index stats " + place_);
  EXPECT_EQ(stats["pictures"], 5);
  EXPECT_EQ(stats["vectors"], 75);
  EXPECT_EQ(stats["hnsw_of_regions"], false);
  EXPECT_THAT(run_binary("search " + place_ + " 'a red car' --html " + at("page.html")).out,
              HasSubstr("70 rows searched"));
  EXPECT_THAT(read_file(folder_ / "page.html"), HasSubstr("data:image/jpeg;base64,"));
}

TEST_F(IndexInPostgres, RemovesCompactsAndExports) {
  add(place_);
  const std::string odd = " --images '" + at("photos/caf\xe9 '\\''quoted\\.ppm") + "'";
  EXPECT_EQ(json_of("index remove " + place_ + odd)["removed"], 1);
  fs::remove(folder_ / "photos/b.ppm");
  EXPECT_EQ(json_of("index remove " + place_ + " --missing")["removed"], 1);
  EXPECT_EQ(json_of("search " + place_ + " 'a car'")["scanned"], 3 * 14);
  const Json compact = json_of("index compact " + place_);
  EXPECT_EQ(compact["vectors"], 45);
  EXPECT_THAT(compact["says"].get<std::string>(), HasSubstr("HNSW index of 42 regions built"));
  EXPECT_EQ(json_of("search " + place_ + " 'a car'")["hits"].size(), 3u);
  EXPECT_EQ(json_of("index export " + place_ + " --out " + at("npy"))["vectors"], 45);
  EXPECT_EQ(json_of("index import " + at("idx") + " --embeddings " + at("npy"))["vectors"], 45);
  EXPECT_EQ(json_of("search " + at("idx") + " 'a car'")["hits"].size(), 3u);
  for (const std::string to : {"qdrant", "milvus"}) {
    EXPECT_EQ(json_of("index export " + place_ + " --to " + to + " --out " + at(to))["vectors"],
              45);
  }
  const std::string rows = read_file(folder_ / "milvus/rows.jsonl");
  EXPECT_EQ(std::count(rows.begin(), rows.end(), '\n'), 45);
  const Json row = parse_json(rows.substr(0, rows.find('\n')), "rows");
  EXPECT_EQ(row["vector"].size(), 24u);
  EXPECT_EQ(row["id"], row["picture"].get<int64_t>() << 20);
  EXPECT_EQ(row["region"], 0);
  EXPECT_THAT(refused("index verify " + place_), HasSubstr("pg_amcheck"));
}

TEST_F(IndexInPostgres, PasswordsAreNotShownAndAServerThatIsGoneIsOneLine) {
  add(place_);
  std::string with_password = place_;
  with_password.replace(with_password.find("postgres@"), 9, "postgres:s3cret@");
  for (const std::string verb : {"index stats ", "index remove ", "search "}) {
    const std::string more = verb == "index remove " ? " --ids 1"
                             : verb == "search "     ? " --id 2"
                                                     : "";
    const auto result = run_binary(verb + with_password + more + " --json");
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out + result.err, Not(HasSubstr("s3cret")));
  }
  const auto gone =
      run_binary("search 'postgres://me:s3cret@/d?host=" + at("nowhere") + "&index=a' 'a car'");
  EXPECT_EQ(gone.exit_code, 1);
  const std::string line = error_line(gone);
  EXPECT_THAT(line, HasSubstr("the database cannot be reached"));
  EXPECT_THAT(line, HasSubstr("start the server"));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_THAT(gone.err, Not(HasSubstr("s3cret")));
  EXPECT_THAT(refused("search 'postgres://h/d' 'a car'"), HasSubstr("names no index"));
  EXPECT_THAT(refused("search " + place_ + " 'a car' --model " + at("none")),
              HasSubstr("is not there"));
}

}  // namespace
}  // namespace opencloc
