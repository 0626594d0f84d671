// Runs of a multimodal language model: learned by heart, resumed exactly, in parts, kept on disk;
// and what cannot work, said in one line.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/data/load/loader.h"
#include "opencloc/dialogue/frame.h"
#include "opencloc/dialogue/score.h"
#include "opencloc/mllm/answers.h"
#include "opencloc/mllm/dialogue_source.h"
#include "opencloc/mllm/evaluate.h"
#include "opencloc/mllm/objective.h"
#include "opencloc/mllm/report_answers.h"
#include "opencloc/model/clip/preprocess.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/step.h"
#include "tests/data/tar_maker.h"
#include "tests/mllm/talking_squares.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class MllmRunTest : public testing::Test {
 protected:
  MllmRunTest() {
    fixtures::write_talking_squares(folder_.path() / "data.tar", 4);
    fixtures::write_tower(folder_.path() / "tower");
  }
  MllmTrainConfig config(RegionSource source = RegionSource::kSampler) const {
    return fixtures::tiny_mllm_config(folder_.path(), source);
  }
  fs::path model() const { return folder_.path() / "run" / "model"; }
  std::string data() const { return (folder_.path() / "data.tar").string(); }

  // What training would say.
  static std::string refusal(MllmTrainConfig config) {
    try {
      train_mllm(std::move(config));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  fixtures::TempFolder folder_;
};

// The mean IoU of answers that are the given ones.
double score_of_given(const std::string& data) {
  SkipCounter skips;
  const SampleStore store(data, skips);
  GroundScore score;
  for (uint64_t i = 0; i < store.total(); ++i) {
    for (const auto& dialogue : read_dialogues(store.read(0, i), "given", skips)) {
      if (dialogue.task != "ground") continue;
      const std::string say = text_in_frame(dialogue.turns[0].say, dialogue, {32, 32}, {});
      score.add({say, dialogue.boxes[0], {32, 32}}, {});
    }
  }
  return score.json()["mean_iou"].get<double>();
}

TEST_F(MllmRunTest, LearnsItsDialoguesByHeart) {
  auto learning = config();
  learning.steps = 600;
  learning.batch_size = 4;
  learning.dialogues = 1;
  learning.save_every = 600;
  learning.log_every = 100;
  train_mllm(learning);
  MllmModel learned = load_mllm(model());
  MllmEvalOptions quiet;
  quiet.progress = false;
  const Json results = evaluate_mllm(learned, data(), quiet);
  EXPECT_EQ(results["refer"]["strict_acc"], 1) << results;
  EXPECT_EQ(results["point"]["strict_acc"], 1) << results;
  EXPECT_EQ(results["ground"]["acc@0.5"], 1) << results;
  // Ferret's rule reads whole pixels: the given answers themselves get no more.
  EXPECT_NEAR(results["ground"]["mean_iou"].get<double>(), score_of_given(data()), 1e-9) << results;
  EXPECT_LT(results["ground"]["constant_box"].get<double>(), 1) << results;
  EXPECT_EQ(results["exists"]["accuracy"], 1) << results;
  EXPECT_EQ(results["exists"]["random"]["n"], 4) << results;
  EXPECT_EQ(results["unended"], 0) << results;
  EXPECT_THAT(mllm_results_table(results), HasSubstr("ground"));

  // Where the answer points is drawn.
  SkipCounter skips;
  const SampleStore store(data(), skips);
  const auto pictures = report_answers(store, learned, 2);
  ASSERT_EQ(pictures.size(), 2U);
  const auto& boxes = pictures[0].boxes;
  const auto pointed = std::find_if(boxes.begin(), boxes.end(),
                                    [](const ReportBox& box) { return box.has_prediction; });
  ASSERT_NE(pointed, boxes.end());
  EXPECT_GT(iou(pointed->box, pointed->predicted), 0.9F);
  EXPECT_THAT(pictures_html("Answers", pictures), HasSubstr("stroke-dasharray"));
}

TEST_F(MllmRunTest, GoesOnWhereItStood) {
  auto whole = config(RegionSource::kEmbedding);
  whole.train_prompter = true;
  train_mllm(whole);
  auto cut = whole;
  cut.out = folder_.path() / "cut";
  train_mllm(cut);
  fs::remove_all(cut.out / "checkpoints" / "step-8");
  fs::remove_all(cut.out / "model");
  cut.resume = "latest";
  train_mllm(cut);
  const auto lines = read_metrics(cut.out / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 8U);
  EXPECT_EQ(lines.back()["step"], 8);
  const auto weights = [](const fs::path& run) {
    return read_file(run / "model" / "model.safetensors") +
           read_file(run / "model" / "vision" / "cloc_heads.safetensors");
  };
  EXPECT_EQ(weights(cut.out), weights(whole.out));
  EXPECT_NE(read_file(whole.out / "model" / "vision" / "cloc_heads.safetensors"),
            read_file(folder_.path() / "tower" / "cloc_heads.safetensors"));
}

TEST_F(MllmRunTest, OnlyWhatLearnsChanges) {
  auto joined = config();
  joined.projector_only = true;
  train_mllm(joined);
  auto start = joined;
  start.out = folder_.path() / "start";
  start.lr = 1e-30;
  start.adamw.weight_decay = 0;
  train_mllm(start);
  const auto before = load_mllm(start.out / "model"), after = load_mllm(model());
  const auto moved = [&](const std::string& name) {
    const auto a = reader_weights(before), b = reader_weights(after);
    for (size_t i = 0; i < a.size(); ++i) {
      if (a[i].first == name) return !torch::allclose(a[i].second, b[i].second, 0, 1e-7);
    }
    ADD_FAILURE() << name << " is missing";
    return false;
  };
  EXPECT_TRUE(moved("multi_modal_projector.linear_1.weight"));
  EXPECT_TRUE(moved("region_sampler.dim_projector.weight"));
  EXPECT_FALSE(moved("language_model.wte.weight"));
  const auto tower = folder_.path() / "tower" / "open_clip_model.safetensors";
  EXPECT_EQ(read_file(model() / "vision" / "open_clip_model.safetensors"), read_file(tower));

  auto unlocked = config();
  unlocked.out = folder_.path() / "unlocked";
  unlocked.unlock_vision = true;
  train_mllm(unlocked);
  EXPECT_NE(read_file(unlocked.out / "model" / "vision" / "open_clip_model.safetensors"),
            read_file(tower));
}

// One batch of the loader.
Batch some_batch(const MllmModel& model, const std::string& data, const Tokenizer& tokenizer) {
  static SkipCounter skips;
  const SampleStore store(data, skips);
  LoaderOptions options;
  options.batch_size = 3;
  options.sample.canvas = canvas_options(model.vision->config());
  options.sample.sequences = std::make_shared<DialogueSource>(
      tokenizer,
      DialogueSourceOptions{.sequence = model.sequence_options(),
                            .dialogues = 3,
                            .cloud_points = model.settings.model.sampler.points},
      skips);
  Loader loader(store, tokenizer, skips, options);
  return loader.next().batch;
}

TEST_F(MllmRunTest, PartsEqualTheWholeBatchFromEverySource) {
  for (const auto source : {RegionSource::kNone, RegionSource::kMean, RegionSource::kSampler,
                            RegionSource::kEmbedding}) {
    auto start = config(source);
    start.steps = 1;
    start.out = folder_.path() / to_string(source);
    train_mllm(start);
    MllmModel model = load_mllm(start.out / "model");
    for (auto& [name, weight] : model.vision->clip_weights()) weight.set_requires_grad(true);
    const Batch batch = some_batch(model, data(), *model.tokenizer);
    EXPECT_EQ(batch.regions() > 0, source != RegionSource::kNone);
    const auto objective = make_mllm_objective(model, {.tower = false, .regions = false});
    const auto gradients = [&](int64_t parts) {
      model.vision->zero_grad(false);
      model.reader->zero_grad(false);
      const auto result = forward_backward(*objective, batch, {.accum_freq = parts});
      EXPECT_NEAR(result.loss, result.figures.at("loss_words"), 1e-6);
      EXPECT_GT(result.figures.at("words"), 3);
      std::vector<torch::Tensor> all;
      for (const auto& [name, weight] : reader_weights(model)) all.push_back(weight.grad().clone());
      all.push_back(model.vision->visual->parameters()[0].grad().clone());
      return all;
    };
    const auto whole = gradients(1), parts = gradients(3);
    for (size_t i = 0; i < whole.size(); ++i) {
      const double largest = whole[i].abs().max().item<double>();
      EXPECT_LT((parts[i] - whole[i]).abs().max().item<double>(), 1e-6 + 1e-4 * largest)
          << to_string(source) << " " << i;
    }
    EXPECT_GT(whole.back().abs().max().item<double>(), 0) << to_string(source);
  }
}

TEST_F(MllmRunTest, APictureHasTheTokensOfItsLayer) {
  auto start = config(RegionSource::kNone);
  start.steps = 1;
  train_mllm(start);
  MllmModel model = load_mllm(this->model());
  const Batch batch = some_batch(model, data(), *model.tokenizer);
  const torch::NoGradGuard no_grad;
  const auto embedded = embed_sequences(model, batch);  // [B, L, H]
  const auto hidden = model.vision->encode_image(batch.pixels, {int64_t{-2}}).hidden;
  const auto projector = [&](const std::string& name) {
    for (const auto& [each, weight] : reader_weights(model))
      if (each == "multi_modal_projector." + name) return weight;
    throw std::runtime_error(name);
  };
  const auto tokens = hidden.slice(1, 1);  // without the class token
  const auto inner =
      torch::gelu(tokens.matmul(projector("linear_1.weight").t()) + projector("linear_1.bias"));
  const auto expected = inner.matmul(projector("linear_2.weight").t()) + projector("linear_2.bias");
  const auto places = batch.sequence_ids.eq(model.settings.model.image_id);
  const auto found = embedded.masked_select(places.unsqueeze(-1)).view_as(expected);
  EXPECT_LT((found - expected).abs().max().item<double>(), 1e-5);

  model.settings.blind = true;
  const auto blind = embed_sequences(model, batch).masked_select(places.unsqueeze(-1));
  const auto first = blind.view({-1, embedded.size(2)});
  EXPECT_LT((first - first[0]).abs().max().item<double>(), 1e-6);
}

TEST_F(MllmRunTest, WhatHasNoRoomIsLeftOutAndCounted) {
  auto start = config();
  start.steps = 1;
  train_mllm(start);
  MllmModel model = load_mllm(this->model());
  SkipCounter skips;
  SequenceOptions narrow = model.sequence_options();
  narrow.context_length = 40;
  const DialogueSource source(*model.tokenizer, {.sequence = narrow, .dialogues = 0}, skips);
  Rng rng(1);
  const Record record = fixtures::talking_squares(0);
  const auto sequence = source.make(record, "a.tar#0", 32, 32, rng);
  EXPECT_LE(sequence.ids.size(), 40U);
  EXPECT_GT(skips.count(skip::kNoRoom), 0);
  EXPECT_LT(skips.count(skip::kNoRoom), 7);

  model.settings.model.language.context_length = 24;
  const auto room = [&] {
    MllmEvalOptions quiet;
    quiet.progress = false;
    return evaluate_mllm(model, data(), quiet);
  };
  EXPECT_THROW(room(), Error);  // not one question is left
}

TEST_F(MllmRunTest, PointsOfAPointLieWithinElevenPixels) {
  Sequence sequence;
  sequence.regions.push_back({{0.5F, 0.01F, 0.5F, 0.01F}, true, {0.5F, 0.01F}});
  Rng rng(1);
  const auto cloud = prepared(sequence, 100, 50, 200, rng).regions.at(0).cloud;
  ASSERT_EQ(cloud.size(), 200U);
  float left = 1, right = 0, bottom = 0;
  for (const auto& [x, y] : cloud) {
    left = std::min(left, x);
    right = std::max(right, x);
    bottom = std::max(bottom, y);
  }
  EXPECT_NEAR(left, 0.45F, 0.011F);
  EXPECT_NEAR(right, 0.55F, 0.011F);
  EXPECT_LT(bottom, 0.13F);
  EXPECT_GT(bottom, 0.08F);
}

TEST_F(MllmRunTest, SaysWhatCannotWork) {
  auto without = config(RegionSource::kEmbedding);
  {
    Cloc tower(load_model_config("ViT-Test"));
    SaveOptions plain;
    plain.region_heads = false;
    save_model(folder_.path() / "clip", tower, plain);
  }
  without.vision = (folder_.path() / "clip").string();
  EXPECT_THAT(refusal(without), HasSubstr("the tower has no Prompter"));

  auto layer = config();
  layer.settings.vision_layer = -9;
  EXPECT_THAT(refusal(layer), HasSubstr("not layer -9"));

  auto narrow = config();
  narrow.settings.model.language.context_length = 3;
  EXPECT_THAT(refusal(narrow), HasSubstr("context"));

  auto prompter = config();
  prompter.train_prompter = true;
  EXPECT_THAT(refusal(prompter), HasSubstr("the Prompter is no source of regions"));

  auto both = config();
  both.init = both.vision;
  EXPECT_THAT(refusal(both), HasSubstr("two models are named"));

  auto silent = config();
  fixtures::write_squares(folder_.path() / "silent.tar", 3);
  silent.data = (folder_.path() / "silent.tar").string();
  EXPECT_THAT(refusal(silent), HasSubstr("no sample has dialogues"));
  EXPECT_FALSE(fs::exists(folder_.path() / "run" / "model"));
}

TEST_F(MllmRunTest, FilesThatDoNotFitTogetherAreNamed) {
  auto start = config();
  start.steps = 1;
  train_mllm(start);
  EXPECT_THROW(load_mllm(folder_.path() / "tower"), Error);
  // A tower of another width.
  ModelConfig wide = load_model_config("ViT-Test");
  wide.vision.width *= 2;
  save_model(model() / "vision", Cloc(wide), {});
  try {
    load_mllm(model());
    ADD_FAILURE() << "a tower of another width was taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("multi_modal_projector.linear_1.weight"));
  }
  Json settings = read_json(model() / "mllm_config.json");
  settings["frame"] = "pelican";
  write_file(model() / "mllm_config.json", dump_json(settings));
  try {
    load_mllm(model());
    ADD_FAILURE() << "an unknown frame was taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'pelican' is no frame"));
  }
}

}  // namespace
}  // namespace opencloc
