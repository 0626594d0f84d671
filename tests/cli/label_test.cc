// `opencloc label` from end to end.
#include <cstdlib>
#include <map>

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

namespace fs = std::filesystem;
using fixtures::error_line;
using fixtures::run_binary;
using ::testing::HasSubstr;

class Label : public fixtures::BinaryTest {
 protected:
  void write_shard() {
    fs::create_directories(folder_ / "in");
    ShardWriter writer(folder_ / "in" / "00000.tar");
    for (int i = 0; i < 5; ++i) {
      Record record = fixtures::make_test_record("k" + std::to_string(i), "a red car and two dogs");
      record.image = fixtures::tiny_ppm(20 + i, 30, static_cast<unsigned char>(40 * i));
      writer.write(record);
    }
    writer.commit();
  }
};

TEST_F(Label, PhrasesOfTexts) {
  write_file(folder_ / "texts.txt", "A red double-decker bus beside two cyclists.\n\nIMG_1.jpg\n");
  const auto result = run_binary("label --json --texts " + at("texts.txt"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out,
            "{\"text\":\"A red double-decker bus beside two cyclists.\","
            "\"phrases\":[\"red double-decker bus\",\"two cyclists\"]}\n"
            "{\"text\":\"\",\"phrases\":[]}\n{\"text\":\"IMG_1.jpg\",\"phrases\":[]}\n");
  write_file(folder_ / "notepad.txt",
             "\xef\xbb\xbf"
             "a red bus\r\n");
  EXPECT_THAT(run_binary("label --json --texts " + at("notepad.txt")).out,
              HasSubstr("\"phrases\":[\"red bus\"]"));
  const auto grams = run_binary("label --phrases ngrams --json --texts " + at("texts.txt"));
  EXPECT_THAT(grams.out, HasSubstr("\"red double-decker\""));
}

TEST_F(Label, AModelLabelsDataForTheNext) {
  write_shard();
  fixtures::write_tiny_model(folder_ / "model");
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

TEST_F(Label, ACaptionerOfOurOwnNeedsNoServer) {
  ASSERT_EQ(run_binary("data scenes --count 6 --size 96 --names 30 --seed 2 --out " + at("scenes"))
                .exit_code,
            0);
  const auto trained =
      run_binary("train --objective coca --model coca-XXS-16-96 --data " + at("scenes") +
                 " --steps 160 --batch-size 6 --augment off --lr 0.002 --wd 0 --vocab-size 400"
                 " --report-pictures 0 --out " +
                 at("run"));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const std::string model = at("run/model");
  EXPECT_THAT(run_binary("inspect " + model).out,
              HasSubstr("captions   decoder of width 128, 2 layers, 4 heads; 32 image queries"));

  const std::string command =
      "label --data " + at("scenes") + " --detector-kind none --captioner " + model;
  const auto result = run_binary(command + " --out " + at("out"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto shard = [&](const std::string& out) {
    for (const auto& entry : fs::directory_iterator(at(out)))
      if (entry.path().extension() == ".tar") return entry.path();
    return fs::path();
  };
  SkipCounter skips;
  std::map<std::string, std::string> truth;
  Record record;
  for (ShardReader reader(shard("scenes").string(), skips); reader.next(record);)
    truth[record.key] = record.caption;
  int64_t captions = 0, learned = 0;
  for (ShardReader reader(shard("out").string(), skips); reader.next(record); ++captions) {
    EXPECT_EQ(record.extra["vesl"]["caption"]["captioner"], model);
    EXPECT_EQ(record.extra["vesl"]["caption"]["from"], "caption");
    const bool same = record.caption == truth[record.key];
    learned += same ? 1 : 0;
    // Another text than the older one, which is kept.
    if (!same) {
      EXPECT_THAT(record.captions, ::testing::ElementsAre(truth[record.key]));
    }
  }
  EXPECT_EQ(captions, 6);
  EXPECT_GE(learned, 5);
  const Json first = read_json(shard("out").string() + ".report.json");
  EXPECT_EQ(first["settings"]["caption"]["captioner"], model);
  EXPECT_EQ(first["settings"]["caption"]["beams"], 1);
  EXPECT_EQ(first["settings"]["caption"]["max_tokens"], 30);
  EXPECT_EQ(first["stages"]["caption"]["asked"], 6);
  EXPECT_EQ(first["stages"]["caption"]["without_answer"], Json::object());

  // The same pictures give the same bytes; a short limit cuts, and is counted.
  ASSERT_EQ(run_binary(command + " --out " + at("again")).exit_code, 0);
  EXPECT_TRUE(read_file(shard("out")) == read_file(shard("again")));
  const auto cut =
      run_binary(command + " --captioner-max-tokens 2 --captioner-beams 3 --out " + at("cut"));
  ASSERT_EQ(cut.exit_code, 0) << cut.err;
  const Json report = read_json(shard("cut").string() + ".report.json");
  EXPECT_EQ(report["stages"]["caption"]["cut_at_max_tokens"], 6);

  for (const auto& [flags, message] : std::vector<std::pair<std::string, std::string>>{
           {" --captioner-max-tokens 31", "at most 30 tokens"},
           {" --captioner-model m", "takes no model name"},
           {" --captioner-beams 0", "--captioner-beams"}}) {
    const auto wrong = run_binary(command + flags + " --out " + at("wrong"));
    EXPECT_EQ(wrong.exit_code, 2) << flags;
    EXPECT_THAT(wrong.err, HasSubstr(message)) << flags;
  }
  fixtures::write_tiny_model(folder_ / "plain");
  const auto plain = run_binary("label --data " + at("scenes") + " --detector-kind none --out " +
                                at("wrong") + " --captioner " + at("plain"));
  EXPECT_EQ(plain.exit_code, 2);
  EXPECT_THAT(error_line(plain), HasSubstr("no text decoder"));
}

TEST_F(Label, BoxesOfAnotherDetector) {
  write_shard();
  // k0 is 20 x 30 pixels.
  write_file(
      folder_ / "dino.jsonl",
      R"({"image": "in/k0.jpg", "bbox_xyxy": [5, 15, 15, 30], "text": "red car", "score": 0.5}
{"image": "k1.jpg", "box": [0, 0, 1], "text": "dog"}
{"key": "k2", "boxes": [[0, 0, 11, 15], [0, 0, 11, 14]], "scores": [0.75, 0.5], "labels": ["dog", "cat"]}
{"key": "nowhere", "box": [0, 0, 1, 1], "text": "dog"})");
  const std::string command =
      "label --data " + at("in") + " --boxes " + at("dino.jsonl") + " --labeller dino-b";
  const auto result = run_binary(command + " --json --out " + at("out"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(parse_json(result.out, "stdout")["boxes"],
            parse_json(R"({"read": 5, "pictures": 4, "pictures_matched": 3,
                           "pictures_not_in_the_shards": 1,
                           "skipped": {"box is not four numbers": 1},
                           "first_names": {"box is not four numbers": [")" +
                           at("dino.jsonl") + R"(:2: 'box' is not four finite numbers"],
                                           "picture not in the shards": ["nowhere"]},
                           "labellers": ["dino-b"]})",
                       "expected"));
  EXPECT_THAT(result.err,
              HasSubstr("1 of 4 pictures of the boxes are not in the shards: 'nowhere'"));
  SkipCounter skips;
  Record record;
  std::map<std::string, Record> records;
  for (ShardReader reader(at("out") + "/00000.tar", skips); reader.next(record);)
    records[record.key] = record;
  ASSERT_EQ(records.at("k0").regions.size(), 1U);
  const Region& region = records.at("k0").regions[0];
  EXPECT_EQ(region.box, (Box{0.25f, 0.5f, 0.75f, 1}));
  EXPECT_EQ(region.text, "red car");
  EXPECT_EQ(region.source, "dino-b");
  EXPECT_EQ(region.score, 0.5f);
  EXPECT_TRUE(records.at("k1").regions.empty());
  ASSERT_EQ(records.at("k2").regions.size(), 1U);  // the others are one box
  EXPECT_EQ(records.at("k2").regions[0].text, "dog");
  EXPECT_FALSE(records.at("k0").extra.contains("phrases"));
  EXPECT_EQ(records.at("k0").extra["vesl"]["detect"]["detector"], "dino-b");
  const auto text = run_binary(
      command + " --threshold 0.6 --nms 1 --stages phrases,detect,select --out " + at("high"));
  EXPECT_THAT(text.out, HasSubstr("1 regions"));
  EXPECT_THAT(text.out, HasSubstr("boxes: 5 read for 4 pictures, 3 of which are in these shards; 3 "
                                  "skipped (1 box is not four numbers, 2 score below"));
  // Other boxes are other settings.
  write_file(folder_ / "dino.jsonl", R"({"key": "elsewhere", "box": [0, 0, 1, 1], "text": "dog"})");
  EXPECT_THAT(error_line(run_binary(command + " --out " + at("out"))), HasSubstr("other settings"));
  const auto none = run_binary(command + " --out " + at("none"));
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(error_line(none),
              HasSubstr("not one picture of the boxes is in the shards ('elsewhere')"));
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
      {data + " --detector-kind none --captioner http://localhost", "no model is named"},
      {data + " --detector-kind none --captioner localhost", "name a model directory"},
      {data + " --detector-kind none --captioner localhost --captioner-model m",
       "not the address of a server"},
      {data + " --boxes " + at("none.jsonl"), "none.jsonl"},
      {data + " --boxes " + at("in") + "/00000.tar", "00000.tar"},
      {data + " --detector " + at("in") + " --boxes " + at("none.jsonl"), "--detector or --boxes"},
      {data + " --labeller me", "pass --boxes FILE"},
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
