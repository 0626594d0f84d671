// `opencloc mllm`: from labelled pictures to answers, by one process and by two.
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/checkpoint/file/gguf.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

using fixtures::error_line;
using fixtures::run_binary;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MllmTest : public fixtures::BinaryTest {
 protected:
  void SetUp() override {
    run("data scenes --count 24 --size 32 --names 6 --seed 1 --out " + at("scenes"));
    run("data dialogues --data " + at("scenes") + " --seed 1 --out " + at("talking"));
    run("train --data " + at("scenes") +
        " --model ViT-Test --vocab-size 320 --steps 1 --batch-size 8 --report-pictures 0 --out " +
        at("tower"));
  }
  static std::string run(const std::string& command) {
    const auto done = run_binary(command);
    EXPECT_EQ(done.exit_code, 0) << command << "\n" << done.err;
    return done.out;
  }
  std::string training(const std::string& out, const std::string& more = {},
                       const std::string& sizes = "--lm 2x32 --sampler 16/8/4/4") const {
    return "mllm train --vision " + at("tower/model") + " --data " + at("talking") + " " + sizes +
           " --vocab-size 400 --steps 6 --batch-size 4 --log-every 1 "
           "--threads 1 --seed 3 --report-pictures 2 --out " +
           at(out) + " " + more;
  }
  std::vector<double> losses(const std::string& run) const {
    std::vector<double> all;
    std::istringstream lines(read_file(folder_ / run / "metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const Json json = parse_json(line, "metrics");
      if (json.contains("loss")) all.push_back(json["loss"].get<double>());
    }
    return all;
  }
};

TEST_F(MllmTest, TrainsAnswersAndIsExported) {
  run(training("run", "--region-source prompter --train-prompter --val " + at("talking")));
  const auto curve = losses("run");
  ASSERT_EQ(curve.size(), 6U);
  EXPECT_LT(curve.back(), curve.front());
  EXPECT_THAT(read_file(folder_ / "run" / "report.html"), HasSubstr("in the image?"));

  const std::string model = at("run/model");
  const Json results = parse_json(run("mllm eval " + model + " --data " + at("talking") +
                                      " --tasks refer,ground,exists --max-ids 8 --json"),
                                  "eval");
  EXPECT_GT(results["refer"]["n"], 0);
  EXPECT_GT(results["ground"]["n"], 0);
  EXPECT_EQ(results["exists"]["n"].get<int>() % 2, 0);
  EXPECT_FALSE(results.contains("count"));
  EXPECT_EQ(results["skipped"], Json::object());

  run("mllm export " + model + " --out " + at("llava"));
  const Json config = read_json(folder_ / "llava" / "config.json");
  EXPECT_EQ(config["model_type"], "llava");
  EXPECT_EQ(config["text_config"]["n_embd"], 32);
  EXPECT_EQ(config["vision_config"]["model_type"], "clip_vision_model");
  EXPECT_EQ(config["vision_feature_layer"], -2);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "llava" / "vision"));
  EXPECT_THAT(error_line(run_binary("mllm export " + model + " --out " + at("llava"))),
              HasSubstr("the folder is there already"));

  // tests/tools/llama_cpp_test.py asks llama.cpp; here, what the two files say.
  run("mllm export " + model + " --to gguf --out " + at("gguf"));
  const auto words = open_gguf(folder_ / "gguf" / "model.gguf");
  EXPECT_EQ(words->header().text("general.architecture", ""), "gpt2");
  EXPECT_EQ(words->header().integer("gpt2.embedding_length", 0), 32);
  const StoredTensors weights = words->stored();
  const StoredTensor* table = weights.find("token_embd.weight");
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(static_cast<uint64_t>(table->shape[0]),
            words->header().find("tokenizer.ggml.tokens")->count);
  const auto eyes = open_gguf(folder_ / "gguf" / "mmproj.gguf");
  EXPECT_THAT(eyes->header().numbers("clip.vision.feature_layer"), ElementsAre(1));
  EXPECT_NE(eyes->stored().find("mm.2.weight"), nullptr);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "gguf" / "projector.safetensors"));
  EXPECT_THAT(error_line(run_binary("mllm export " + model + " --dtype f16 --out " + at("other"))),
              HasSubstr("--to gguf"));
}

TEST_F(MllmTest, AsksAboutAPicture) {
  run(training("run"));
  const std::string model = at("run/model");
  write_file(folder_ / "fox.ppm", fixtures::tiny_ppm(40, 30));
  const Json answer = parse_json(
      run("mllm ask " + model + " " + at("fox.ppm") +
          " 'What is the object [100, 200, 550, 900]?' --json --html " + at("answer.html")),
      "ask");
  EXPECT_TRUE(answer["answer"].is_string());
  EXPECT_TRUE(answer["boxes"].is_array());
  EXPECT_THAT(read_file(folder_ / "answer.html"), HasSubstr("What is the object"));
  for (const auto& [question, says] : std::vector<std::pair<std::string, std::string>>{
           {"What is [100, 200, 550, 9000]?", "outside the picture"},
           {"What is <image>?", "a mark of dialogues"},
           {" ", "an empty question"}}) {
    const auto done = run_binary("mllm ask " + model + " " + at("fox.ppm") + " '" + question + "'");
    EXPECT_EQ(done.exit_code, 2);
    EXPECT_THAT(error_line(done), HasSubstr(says));
  }
}

TEST_F(MllmTest, TwoProcessesTrainAsOne) {
  OPENCLOC_SKIP_WITHOUT_GLOOS_LOCKS();
  run(training("one"));
  run("launch --processes 2 -- " + training("two", "--zero 1"));
  const auto one = losses("one"), two = losses("two");
  ASSERT_EQ(one.size(), two.size());
  for (size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(one[i], two[i], 1e-4) << i;
}

TEST_F(MllmTest, SaysWhatCannotWork) {
  const auto refused = [&](const std::string& more,
                           const std::string& sizes = "--lm 2x32 --sampler 16/8/4/4") {
    const auto done = run_binary(training("refused", more, sizes));
    EXPECT_EQ(done.exit_code, 2) << more;
    return error_line(done);
  };
  EXPECT_THAT(refused("", "--lm 4"), HasSubstr("give LAYERSxWIDTH"));
  EXPECT_THAT(refused("", "--lm 4x30"), HasSubstr("a width of 30"));
  EXPECT_THAT(refused("", "--sampler 8/16/4/4"), HasSubstr("keeps more than there is"));
  EXPECT_THAT(
      error_line(run_binary("mllm train --init " + at("tower") + " --lm 2x32 --steps 1 --data " +
                            at("talking") + " --out " + at("refused"))),
      HasSubstr("--init excludes --lm"));
  EXPECT_THAT(refused("--layer -7"), HasSubstr("not layer -7"));
  run("train --data " + at("scenes") +
      " --model ViT-XXS-16-96 --vocab-size 320 --steps 1 --batch-size 4 --report-pictures 0 "
      "--out " +
      at("large"));
  EXPECT_THAT(error_line(run_binary("mllm train --vision " + at("large/model") + " --data " +
                                    at("talking") + " --context-length 20 --steps 1 --out " +
                                    at("refused"))),
              HasSubstr("no room in a context of 20, --context-length"));
  EXPECT_THAT(refused("--train-prompter"), HasSubstr("--train-prompter"));
  EXPECT_THAT(refused("--frame pelican"), HasSubstr("pelican not in {"));
  EXPECT_THAT(error_line(run_binary("mllm eval " + at("tower/model") + " --data " + at("talking"))),
              HasSubstr("no multimodal language model"));
  EXPECT_THAT(error_line(run_binary("mllm eval " + at("tower/model") + " --data " + at("talking") +
                                    " --tasks refer,dance")),
              HasSubstr("'dance' is no task that can be scored"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "refused"));
}

}  // namespace
}  // namespace opencloc
