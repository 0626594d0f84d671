// What people type, and what they leave where a result should go: one line that helps, before any
// work is done.
#include <cstdlib>

#include <gmock/gmock.h>
#include <unistd.h>

#include "opencloc/base/json.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "tests/api/tiny_model_directory.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_line;
using fixtures::run_binary;
using fixtures::tiny_ppm;
using ::testing::HasSubstr;

class Mistakes : public fixtures::BinaryTest {
 protected:
  void SetUp() override {
    fs::create_directories(folder_ / "sh");
    for (const char* name : {"00000.tar", "00001.tar", "00003.tar"}) {
      fixtures::write_tar(folder_ / "sh" / name,
                          {{std::string("a") + name[4] + ".ppm", tiny_ppm(8, 8)},
                           {std::string("a") + name[4] + ".txt", "a dog"}});
    }
    write_file(folder_ / "a.ppm", tiny_ppm(30, 20));
  }
};

TEST_F(Mistakes, NamesThatAreMeant) {
  for (const auto& [wrong, meant] :
       std::initializer_list<std::pair<const char*, const char*>>{{"batch_size", "batch-size"},
                                                                  {"batchsize", "batch-size"},
                                                                  {"Batch-Size", "batch-size"},
                                                                  {"lr-rate", "lr"},
                                                                  {"learning_rate", "lr"},
                                                                  {"weight-decay", "wd"},
                                                                  {"step", "steps"},
                                                                  {"modle", "model"},
                                                                  {"output-dir", "out"},
                                                                  {"num_workers", "workers"},
                                                                  {"warm-up", "warmup"},
                                                                  {"train_data=x", "train-data"}}) {
    EXPECT_THAT(refused("train --data x --out y --" + std::string(wrong)),
                HasSubstr("did you mean --" + std::string(meant) + "?"))
        << wrong;
  }
  EXPECT_EQ(refused("train --data x --out y --xyzzy 1").find("did you mean"), std::string::npos);
}

TEST_F(Mistakes, FlagsNearToRealOnesAreSuggestedInEveryVerb) {
  for (const auto& [arguments, meant] : std::initializer_list<std::pair<const char*, const char*>>{
           {"train --data x --out y --batch_size 4", "--batch-size"},
           {"train --data x --out y --lr-rate 1e-4", "--lr"},
           {"eval --modle m --data x", "--model"},
           {"embed --model m --image a.jpg --out e.st", "--images"},
           {"label --data x --out y --detector_kind none", "--detector-kind"},
           {"convert a b --too hf", "--to"},
           {"inspect --jsn x", "--json"},
           {"data stats --data x --skip_bad_shards", "--skip-bad-shards"},
           {"compare --mark_down x.json", "--markdown"},
           {"bench --jso", "--json"}}) {
    const std::string error = refused(arguments);
    EXPECT_THAT(error, HasSubstr("unknown flag")) << arguments;
    EXPECT_THAT(error, HasSubstr(std::string("did you mean ") + meant + "?")) << arguments;
  }
  EXPECT_THAT(refused("trian --data x"), HasSubstr("did you mean train?"));
  write_file(folder_ / "c.toml", "batch_sise = 4\n");
  EXPECT_THAT(refused("train --data x --out y --config " + at("c.toml")),
              HasSubstr("did you mean batch-size?"));
}

TEST_F(Mistakes, PatternsWithoutQuotes) {
  const std::string files = at("sh") + "/*.tar";
  for (const auto& verb : std::vector<std::string>{
           "data stats --json", "train --steps 1 --out " + at("r"), "eval --model m",
           "embed --model m --out " + at("e.st"), "label --out " + at("l")}) {
    EXPECT_THAT(refused(verb + " --data " + files), HasSubstr("in quotes")) << verb;
  }
  EXPECT_EQ(run_binary("data stats --data '" + files + "'").exit_code, 0);
}

TEST_F(Mistakes, MissingShardsAreErrorsUnlessSkippedAndCounted) {
  const std::string data = " --data '" + at("sh") + "/{00000..00003}.tar'";
  for (const auto& verb : std::vector<std::string>{
           "data stats", "data show --out " + at("p.html"),
           "data mosaic --count 1 --out " + at("m"), "label --detector-kind none --out " + at("l"),
           "train --model ViT-Test --objective clip --steps 1 --out " + at("r")}) {
    EXPECT_THAT(refused(verb + data), HasSubstr("00002.tar")) << verb;
  }
  const auto result = run_binary("data stats --json --skip-bad-shards" + data);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(parse_json(result.out, "stdout")["skipped"]["shard cannot be read"], 1);
  EXPECT_THAT(result.err, HasSubstr("00002.tar"));
  // Of a list, and behind '::'.
  EXPECT_THAT(refused("data stats --data '" + at("sh") + "/{00000,00009}.tar'"),
              HasSubstr("00009.tar"));
  EXPECT_THAT(refused("data stats --data '" + at("sh") + "::" + at("none") + "/*.tar'"),
              HasSubstr("no file matches"));
  EXPECT_THAT(refused("data stats --data '" + at("{sh,none}") + "/*.tar'"), HasSubstr("none"));
  EXPECT_THAT(refused("data stats --data '" + at("sh") + "/0000{0..1}.tar::" + at("sh") +
                      "/{00003..00005}.tar'"),
              HasSubstr("and 1 more of the pattern"));
}

TEST_F(Mistakes, ShardsOfOtherMachines) {
  for (const char* data : {"gs://b/{0..9}.tar", "hf://datasets/x/0.tar", "file:///x/0.tar"}) {
    EXPECT_THAT(refused(std::string("data stats --data ") + data), HasSubstr("are not read"))
        << data;
  }
  EXPECT_THAT(refused("train --steps 1 --out " + at("r") + " --data gs://b/0.tar"),
              HasSubstr("'pipe:COMMAND'"));
  const std::string cache = " --cache-dir " + at("cache");
  EXPECT_THAT(refused("data stats --data 'pipe:echo nothing; exit 7'" + cache),
              HasSubstr("ended with status 7, pipe:echo nothing; exit 7"));
  EXPECT_THAT(refused("data stats --data s3:///0.tar"), HasSubstr("no bucket"));
  const auto piped =
      run_binary("data stats --json --data 'pipe:cat " + at("sh") + "/00000.tar'" + cache);
  EXPECT_EQ(piped.exit_code, 0) << piped.err;
}

TEST_F(Mistakes, OutputsAreLookedAtBeforeTheWork) {
  fixtures::write_tiny_model(folder_ / "model");
  const std::string embed = "embed --model " + at("model") + " --images " + at("a.ppm") + " --out ";
  EXPECT_THAT(refused(embed + at("e.npy")), HasSubstr(".npy"));
  EXPECT_THAT(refused(embed + at("e.csv")), HasSubstr("safetensors"));
  EXPECT_THAT(refused(embed + at("sh")), HasSubstr("is a folder"));
  EXPECT_THAT(refused(embed + at("a.ppm")), HasSubstr("would be replaced"));
  EXPECT_THAT(refused(embed + at("a.ppm/x/e.st")), HasSubstr("is no folder"));
  const auto deep = run_binary(embed + at("new/folder/e.safetensors"));
  EXPECT_EQ(deep.exit_code, 0) << deep.err;
  EXPECT_TRUE(fs::exists(folder_ / "new/folder/e.safetensors"));
  EXPECT_THAT(refused("convert " + at("model") + " " + at("x.gguf") + " --to hf"),
              HasSubstr(".gguf"));
  EXPECT_THAT(refused("convert " + at("model") + " " + at("x.pt") + " --to openai"),
              HasSubstr(".pt"));
  EXPECT_FALSE(fs::exists(folder_ / "x.gguf"));
  // A folder with one checkpoint and more is not ours to replace.
  ASSERT_EQ(run_binary("convert " + at("model") + " " + at("mine") + " --to openai").exit_code, 0);
  fs::rename(folder_ / "mine/model.safetensors", folder_ / "mine/epoch_1.safetensors");
  EXPECT_THAT(refused("convert " + at("model") + " " + at("mine") + " --to openai"),
              HasSubstr("no model that could be replaced"));
  EXPECT_THAT(
      refused("eval --model " + at("model") + " --data " + at("sh") + " --out " + at("r.csv")),
      HasSubstr("JSON"));
  EXPECT_THAT(
      refused("train --model ViT-Test --steps 1 --data " + at("sh") + " --out " + at("a.ppm")),
      HasSubstr("is a file"));
  EXPECT_THAT(refused("train --model ViT-Test --steps 1 --data " + at("sh") + " --out " + at("sh")),
              HasSubstr("would be replaced"));
  EXPECT_THAT(refused("data show --data " + at("sh") + " --out " + at("sh")),
              HasSubstr("is a folder"));
  EXPECT_THAT(refused("label --detector-kind none --data " + at("sh") + " --out " + at("a.ppm")),
              HasSubstr("is a file"));
}

TEST_F(Mistakes, NumbersThatMakeNoSenseAreRefusedAtOnce) {
  const std::string train =
      "train --model ViT-Test --objective clip --data " + at("sh") + " --out " + at("r");
  for (const char* flags :
       {"--steps 1 --workers 100000", "--steps 1 --workers -3", "--steps 1 --batch-size 0",
        "--steps -1", "--steps 0", "--steps 1 --threads -1", "--steps 1 --batch-size -4"}) {
    refused(train + " " + flags);
  }
  EXPECT_FALSE(fs::exists(folder_ / "r/checkpoints"));
  refused("data show --count -1 --data " + at("sh") + " --out " + at("p.html"));
  refused("label --detector-kind none --max-phrases -1 --data " + at("sh") + " --out " + at("l"));
}

TEST_F(Mistakes, AModelAndOneToStartFromAreTwo) {
  fixtures::write_tiny_model(folder_ / "model");
  const std::string train =
      "train --steps 1 --batch-size 2 --report-pictures 0 --objective clip "
      "--data '" +
      at("sh") + "/0000{0,1}.tar' --out " + at("r") + " --init " + at("model");
  EXPECT_THAT(refused(train + " --model ViT-B-32"), HasSubstr("leave one of the two out"));
  ASSERT_EQ(run_binary(train).exit_code, 0);
  // The configuration a run writes can be given again.
  const auto again = run_binary("train --config " + at("r/config.toml"));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(
      refused("train --steps 1 --architecture ViT-B-32 --data " + at("sh") + " --out " + at("q")),
      HasSubstr("goes with --init"));
}

TEST_F(Mistakes, AssumptionsAreToldAtEveryUse) {
  fixtures::write_tiny_model(folder_ / "model");
  auto loaded = load_model(folder_ / "model");
  SaveOptions options;
  options.layout = Layout::kOpenAi;
  options.tokenizer = loaded.tokenizer.get();
  options.dtype = Dtype::kF32;
  save_model(folder_ / "bare", loaded.model, options);
  NamedTensors tensors;
  {
    const SafetensorsFile file(folder_ / "bare/model.safetensors");
    for (const auto& info : file.tensors()) {
      if (!info.shape.empty() || info.name == "logit_scale")
        tensors.emplace_back(info.name, file.tensor(info).clone());
    }
  }
  write_safetensors(folder_ / "bare/model.safetensors", tensors);  // without metadata and numbers
  const std::string bare = at("bare");
  write_file(folder_ / "own.json",
             dump_json(open_clip_config_json(loaded.model->config())["model_cfg"]));
  // Its text tower is 16 wide: no known architecture's.
  const std::string embed = " --images " + at("a.ppm") + " --out " + at("e.st");
  EXPECT_THAT(refused("embed --model " + bare + embed), HasSubstr("--architecture"));
  EXPECT_THAT(refused("inspect " + bare), HasSubstr("--architecture"));
  const std::string named = " --architecture " + at("own.json");
  for (const auto& verb :
       std::vector<std::string>{"embed --model " + bare + embed,
                                "convert --to hf " + bare + " " + at("hf"), "inspect " + bare}) {
    const auto result = run_binary(verb + named);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err.find("taken as"), std::string::npos) << result.err;
  }
  // Another folder's preprocessing is assumed.
  fs::remove(folder_ / "hf/preprocessor_config.json");
  for (const auto& verb : std::vector<std::string>{
           "embed --model " + at("hf") + embed,
           "convert --to open_clip " + at("hf") + " " + at("oc"), "inspect --json " + at("hf")}) {
    const auto result = run_binary(verb);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("taken as CLIP's")) << verb;
    if (verb.starts_with("inspect")) {
      EXPECT_EQ(parse_json(result.out, "stdout")["assumed"].size(), 1u) << result.out;
    }
  }
}

// A user who may have few processes; only root can be that user for a moment.
TEST_F(Mistakes, ThreadsThatCannotStart) {
  if (::geteuid() != 0 || std::system("setpriv --version >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "needs root and setpriv, to run as a user of few processes";
  fs::permissions(folder_.path(), fs::perms::all);
  fs::permissions(folder_ / "sh", fs::perms::all);
  for (const auto& entry : fs::directory_iterator(folder_ / "sh"))
    fs::permissions(entry.path(), fs::perms::all);
  for (const int processes : {3, 4, 6, 9, 12}) {
    const std::string command =
        "timeout 60 setpriv --reuid=61234 --regid=61234 --clear-groups prlimit --nproc=" +
        std::to_string(processes) + " " + OPENCLOC_BINARY + " data stats --threads 8 --data " +
        at("sh/00000.tar") + " >/dev/null 2>" + at("err");
    const int status = std::system(command.c_str());
    ASSERT_TRUE(WIFEXITED(status)) << processes;
    EXPECT_LE(WEXITSTATUS(status), 1) << processes << ": " << read_file(at("err"));
  }
}

}  // namespace
}  // namespace opencloc
