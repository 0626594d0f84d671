// `opencloc label` from end to end.
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/json.h"
#include "opencloc/checkpoint/safetensors.h"
#include "opencloc/data/shard_reader.h"
#include "opencloc/data/shard_writer.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using testing::error_line;
using ::testing::HasSubstr;
using testing::run_binary;
using testing::TempFolder;

class Label : public ::testing::Test {
 protected:
  void write_shard() {
    fs::create_directories(folder_ / "in");
    ShardWriter writer(folder_ / "in" / "00000.tar");
    for (int i = 0; i < 5; ++i) {
      Record record = testing::make_test_record("k" + std::to_string(i), "a red car and two dogs");
      record.image = testing::tiny_ppm(20 + i, 30, static_cast<unsigned char>(40 * i));
      writer.write(record);
    }
    writer.commit();
  }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  TempFolder folder_;
};

TEST_F(Label, PhrasesOfTexts) {
  write_file(folder_ / "texts.txt", "A red double-decker bus beside two cyclists.\n\nIMG_1.jpg\n");
  const auto result = run_binary("label --json --texts " + at("texts.txt"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out,
            "{\"text\":\"A red double-decker bus beside two cyclists.\","
            "\"phrases\":[\"red double-decker bus\",\"two cyclists\"]}\n"
            "{\"text\":\"\",\"phrases\":[]}\n{\"text\":\"IMG_1.jpg\",\"phrases\":[]}\n");
  const auto grams = run_binary("label --phrases ngrams --json --texts " + at("texts.txt"));
  EXPECT_THAT(grams.out, HasSubstr("\"red double-decker\""));
}

TEST_F(Label, AModelLabelsDataForTheNext) {
  write_shard();
  testing::write_tiny_model(folder_ / "model");
  const std::string command = "label --data " + at("in") + " --out " + at("out") +
                              " --detector-kind cloc --threshold 0 --detector " + at("model");
  const auto result = run_binary(command + " --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json summary = parse_json(result.out, "stdout");
  EXPECT_EQ(summary["images"], 5);
  EXPECT_EQ(summary["shards"], 1);
  SkipCounter skips;
  ShardReader reader(at("out") + "/00000.tar", skips);
  Record record;
  int64_t regions = 0;
  while (reader.next(record)) {
    EXPECT_EQ(record.extra["phrases"].size(), 2U);
    EXPECT_EQ(record.extra["vesl"]["detect"]["detector"], "cloc");
    for (const auto& region : record.regions) EXPECT_EQ(region.source, "cloc");
    regions += static_cast<int64_t>(record.regions.size());
  }
  EXPECT_EQ(regions, summary["regions"]);
  EXPECT_EQ(skips.total(), 0);
  // Again: nothing is left to do. With other settings: an error.
  EXPECT_EQ(parse_json(run_binary(command + " --json").out, "stdout")["finished_before"], 1);
  const auto other = run_binary(command + " --max-regions 1");
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(error_line(other), HasSubstr("other settings"));
}

TEST_F(Label, TheDetectorAloneGivesTransformersNumbers) {
  const char* given = std::getenv("OPENCLOC_TEST_DATA");
  const fs::path model =
      (given != nullptr ? fs::path(given)
                        : fs::path(OPENCLOC_SOURCE_DIR).parent_path() / "shared") /
      "parity" / "owlv2-tiny";
  if (!fs::exists(model))
    GTEST_SKIP() << "no reference vectors in " << model << " (set OPENCLOC_TEST_DATA)";
  const auto result =
      run_binary("label --detector " + model.string() + " --tensors " +
                 (model / "expected.safetensors").string() + " --out " + at("out.safetensors"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const SafetensorsFile expected(model / "expected.safetensors"), out(at("out.safetensors"));
  for (const char* name : {"logits", "pred_boxes", "objectness_logits", "class_embeds"}) {
    const auto difference = (out.tensor(name) - expected.tensor(name)).abs().max();
    EXPECT_LE(difference.item<float>(), 1e-4) << name;
  }
}

TEST_F(Label, WrongUsageIsNamed) {
  write_shard();
  const std::string data = "label --data " + at("in") + " --out " + at("out");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"label", "one of --data, --texts and --tensors"},
      {"label --data " + at("in"), "--out is missing"},
      {data, "no detector is named"},
      {data + " --detector " + at("in"), "not an OWLv2 directory"},
      {data + " --detector-kind none --text-from caption:2x", "not a share of texts"},
      {data + " --detector-kind none --captioner localhost", "no model is named"},
      {data + " --detector-kind none --captioner localhost --captioner-model m",
       "not the address of a server"},
      {data + " --detector-kind none --shard-index 1", "--shard-count"},
      {data + " --detector-kind none --shard-index 2 --shard-count 2", "--shard-index"},
      {"label --data " + at("in") + " --out " + at("in") + " --detector-kind none",
       "would be replaced"}};
  for (const auto& [command, message] : cases) {
    const auto result = run_binary(command);
    EXPECT_EQ(result.exit_code, 2) << command;
    EXPECT_THAT(error_line(result), HasSubstr(message)) << command;
    EXPECT_FALSE(fs::exists(folder_ / "out" / "00000.tar")) << command;
  }
}

}  // namespace
}  // namespace opencloc
