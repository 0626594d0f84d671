// `opencloc data entities`, `label --stages mentions,link`, `--against` and `data classes`, end to
// end.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/json.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/shard_writer.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

using fixtures::error_line;
using fixtures::run_binary;
using ::testing::HasSubstr;

class EntitiesVerb : public fixtures::BinaryTest {
 protected:
  void SetUp() override {
    write_file(folder_ / "in/entities.tsv",
               "id\tname\ttype\nQ1\tbus\tvehicle\nQ2\tdog\tanimal\nQ3\tstar\tperson\n");
    write_file(folder_ / "in/aliases.tsv", "alias\tid\nbus\tQ1\ndog\tQ2\ndog\tQ3\n");
  }
  std::string make() const {
    return "data entities --format tsv --source " + at("in") + " --out " + at("base");
  }
  void write_shard() {
    std::filesystem::create_directories(folder_ / "data");
    ShardWriter writer(folder_ / "data" / "00000.tar");
    for (int i = 0; i < 6; ++i) {
      Record record = fixtures::make_test_record("k" + std::to_string(i), "a bus beside two dogs");
      record.image = fixtures::tiny_ppm(20, 30, static_cast<unsigned char>(40 * i));
      record.extra["truth"] = "Q2";
      writer.write(record);
    }
    writer.commit();
  }
};

TEST_F(EntitiesVerb, FromTablesToClasses) {
  const auto made = run_binary(make() + " --json");
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(parse_json(made.out, "stdout")["aliases"], 3);
  write_shard();
  fixtures::write_tiny_model(folder_ / "model");
  const std::string label = "label --stages mentions,link --data " + at("data") + " --out " +
                            at("linked") + " --entities " + at("base");
  const auto labelled = run_binary(label + " --min-image-score off --clip " + at("model"));
  ASSERT_EQ(labelled.exit_code, 0) << labelled.err;
  SkipCounter skips;
  ShardReader reader(at("linked") + "/00000.tar", skips);
  Record record;
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(record.extra["entities"].size(), 2U);
  EXPECT_TRUE(record.extra["entities"][0].contains("image"));
  EXPECT_TRUE(record.extra["vesl"].contains("entities"));
  // A bus is named six times without ambiguity, in data that no picture is asked of.
  const auto seen =
      run_binary("label --stages mentions,link --data " + at("data") + " --out " + at("seen") +
                 " --entities " + at("base") + " --link prior:1,seen:1 " +
                 "--min-image-score off --clip " + at("model"));
  ASSERT_EQ(seen.exit_code, 0) << seen.err;
  ShardReader counted(at("seen") + "/00000.tar", skips);
  ASSERT_TRUE(counted.next(record));
  EXPECT_NEAR(record.extra["entities"][0]["score"].get<double>(), std::log(7), 1e-3);
  const auto against = run_binary("label --data " + at("linked") + " --entities " + at("base") +
                                  " --against truth --json");
  ASSERT_EQ(against.exit_code, 0) << against.err;
  EXPECT_EQ(parse_json(against.out, "stdout")["mentions"]["answers"], 12);
  EXPECT_EQ(parse_json(against.out, "stdout")["mentions"]["right"], 6);
  const auto classes =
      run_binary("data classes --data " + at("linked") + " --out " + at("classes.tsv"));
  ASSERT_EQ(classes.exit_code, 0) << classes.err;
  EXPECT_THAT(read_file(folder_ / "classes.tsv"), HasSubstr("0\tQ1\tbus\t6\n"));
  EXPECT_THAT(
      refused("data classes --min-images 50 --data " + at("linked") + " --out " + at("c.tsv")),
      HasSubstr("--min-images"));
}

TEST_F(EntitiesVerb, MistakesAreNamed) {
  write_shard();
  const std::string label =
      "label --stages mentions,link --data " + at("data") + " --out " + at("linked");
  EXPECT_THAT(refused(label), HasSubstr("--entities"));
  EXPECT_THAT(refused(label + " --entities " + at("in")), HasSubstr("data entities"));
  ASSERT_EQ(run_binary(make()).exit_code, 0);
  EXPECT_THAT(refused(make()), HasSubstr("--overwrite"));
  EXPECT_THAT(refused(label + " --entities " + at("base")), HasSubstr("--clip"));
  EXPECT_THAT(refused(label + " --entities " + at("base") + " --link looks:1"),
              HasSubstr("--link looks:1"));
  EXPECT_THAT(refused(label + " --entities " + at("base") + " --min-image-score p200"),
              HasSubstr("--min-image-score"));
  EXPECT_THAT(refused("data scenes --count 1 --alt-text aliases --out " + at("s")),
              HasSubstr("--entities"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "linked"));
}

TEST_F(EntitiesVerb, VectorsHaveARowAnEntity) {
  write_safetensors(folder_ / "v.safetensors", {{"entity_vectors", torch::ones({2, 4})}});
  EXPECT_THAT(refused(make() + " --vectors " + at("v.safetensors")), HasSubstr("3 rows"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "base"));
  write_safetensors(folder_ / "v.safetensors", {{"entity_vectors", torch::ones({3, 4})}});
  ASSERT_EQ(run_binary(make() + " --vectors " + at("v.safetensors")).exit_code, 0);
  EXPECT_EQ(
      SafetensorsFile(folder_ / "base/vectors.safetensors").tensor("entity_vectors").scalar_type(),
      torch::kHalf);
}

}  // namespace
}  // namespace opencloc
