#include "opencloc/train/lock.h"

#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/error.h"
#include "opencloc/train/checkpoints.h"
#include "opencloc/train/metrics_log.h"
#include "opencloc/train/optimizer.h"
#include "tests/train/tiny_run.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::TempFolder;
using fixtures::tiny_config;
using fixtures::write_squares;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

Cloc locked(const LockOptions& options) {
  Cloc model(load_model_config("ViT-Test"));
  lock_towers(model, options);
  return model;
}

std::set<std::string> trainable_names(const LockOptions& options) {
  std::set<std::string> names;
  for (const auto& [name, parameter] : trainable(locked(options)->clip_weights()))
    names.insert(name);
  return names;
}

TEST(Lock, FreezesATowerOrAllButItsLastGroups) {
  const auto all = trainable_names({});
  EXPECT_EQ(all.size(), locked({})->clip_weights().size());
  for (const auto& name : trainable_names({.image = true})) {
    EXPECT_TRUE(of_text_tower(name) || name == "logit_scale") << name;
  }
  for (const auto& name : trainable_names({.text = true})) {
    EXPECT_TRUE(name.starts_with("visual.") || name == "logit_scale") << name;
  }
  EXPECT_TRUE(trainable_names({.image = true, .text = true}).empty()) << "the temperature, too";

  EXPECT_EQ(trainable_names({.image = true, .text = true, .image_unlocked_groups = 1}),
            (std::set<std::string>{"visual.proj", "logit_scale"}));
  EXPECT_EQ(trainable_names({.image = true, .text = true, .text_unlocked_groups = 1}),
            (std::set<std::string>{"text_projection", "logit_scale"}));

  EXPECT_EQ(layer_group("visual.proj_bias", 12), layer_group("visual.proj", 12));

  // The last block comes with its norm, the embeddings come last.
  const int64_t layers = load_model_config("ViT-Test").vision.layers;
  const auto last = "visual.transformer.resblocks." + std::to_string(layers - 1) + ".ln_1.weight";
  const auto two = trainable_names({.image = true, .image_unlocked_groups = 2});
  EXPECT_TRUE(two.contains(last) && two.contains("visual.ln_post.bias"));
  EXPECT_FALSE(two.contains("visual.transformer.resblocks.0.ln_1.weight"));
  const auto blocks = trainable_names({.image = true, .image_unlocked_groups = layers + 1});
  EXPECT_TRUE(blocks.contains("visual.transformer.resblocks.0.ln_1.weight"));
  EXPECT_FALSE(blocks.contains("visual.conv1.weight") || blocks.contains("visual.ln_pre.weight") ||
               blocks.contains("visual.class_embedding"));
  EXPECT_EQ(trainable_names({.image = true, .image_unlocked_groups = layers + 2}), all);
  EXPECT_EQ(trainable_names({.image = true, .image_unlocked_groups = 1000}), all);
}

// A CLIP trained for a few steps, to start from.
class LockedRun : public ::testing::Test {
 protected:
  LockedRun() {
    write_squares(folder_ / "a.tar", 20);
    auto clip = tiny_config(folder_ / "a.tar", folder_ / "clip");
    clip.objective = find_objective("clip");
    train(clip);
  }
  fs::path clip() const { return folder_ / "clip" / "model"; }
  TrainConfig config(const std::string& out, const LockOptions& lock) {
    auto options = tiny_config(folder_ / "a.tar", folder_ / out);
    options.init = clip().string();
    options.lock = lock;
    options.keep_checkpoints = 0;
    return options;
  }
  // The weights of the CLIP that differ between a run's result and what it started from.
  std::set<std::string> changed(const std::string& out) {
    const SafetensorsFile before(clip() / "open_clip_model.safetensors");
    const SafetensorsFile after(folder_ / out / "model" / "open_clip_model.safetensors");
    std::set<std::string> names;
    for (const auto& info : before.tensors()) {
      if (!torch::equal(before.tensor(info), after.tensor(info.name))) names.insert(info.name);
    }
    return names;
  }
  std::vector<std::string> moments(const std::string& out) {
    std::vector<std::string> names;
    const auto path = folder_ / out / "checkpoints" / "step-8" / "optimizer.safetensors";
    const SafetensorsFile file(path);
    for (const auto& info : file.tensors()) names.push_back(info.name);
    return names;
  }
  TempFolder folder_;
};

TEST_F(LockedRun, APrompterIsTrainedOnAFrozenClip) {
  auto options = config("prompter", {.image = true, .text = true});
  options.accum_freq = 2;
  EXPECT_GT(train(options).loss, 0);
  EXPECT_TRUE(changed("prompter").empty()) << "the CLIP is the one it started from";
  EXPECT_THAT(moments("prompter"),
              Each(AllOf(Not(HasSubstr("visual.")), Not(HasSubstr("transformer.")),
                         Not(HasSubstr("token_embedding")), Not(HasSubstr("m.logit_scale")))));
  EXPECT_TRUE(fs::exists(folder_ / "prompter" / "model" / "cloc_heads.safetensors"));
  for (const auto& line : read_metrics(folder_ / "prompter" / "metrics.jsonl")) {
    EXPECT_FALSE(line.contains("loss_clip"));
    EXPECT_GT(line["loss_region"].get<double>(), 0);
  }
}

TEST_F(LockedRun, TheOtherTowerLearns) {
  train(config("image", {.image = true}));
  const auto names = changed("image");
  EXPECT_TRUE(names.contains("text_projection") && names.contains("logit_scale"));
  EXPECT_THAT(names, Each(Not(HasSubstr("visual."))));
  EXPECT_THAT(moments("image"), Each(Not(HasSubstr("visual."))));
  train(config("group", {.image = true, .text = true, .image_unlocked_groups = 1}));
  EXPECT_EQ(changed("group"), (std::set<std::string>{"visual.proj", "logit_scale"}));
}

TEST_F(LockedRun, ResumesExactly) {
  for (const LockOptions lock : {LockOptions{.image = true, .text = true},
                                 LockOptions{.image = true, .image_unlocked_groups = 2}}) {
    const std::string out = lock.text ? "both" : "image";
    train(config(out, lock));
    const auto weights = fixtures::final_weights(folder_ / out);
    for (const char* step : {"step-8", "step-6"})
      fs::remove_all(folder_ / out / "checkpoints" / step);
    fs::remove_all(folder_ / out / "model");
    train(config(out, lock));
    EXPECT_EQ(fixtures::final_weights(folder_ / out), weights);
  }
}

TEST_F(LockedRun, BatchesWithoutRegionsChangeNothing) {
  {
    ShardWriter writer(folder_ / "plain.tar");
    for (uint64_t i = 0; i < 8; ++i) {
      auto record = fixtures::squares(i);
      record.regions.clear();
      writer.write(record);
    }
    writer.commit();
  }
  for (const int64_t parts : {1, 2}) {
    auto options = config("plain" + std::to_string(parts), {.image = true, .text = true});
    options.data = (folder_ / "plain.tar").string();
    options.accum_freq = parts;
    options.adamw.weight_decay = 0;
    EXPECT_EQ(train(options).loss, 0);
  }
}

// The region part of a plain CLIP is new: flags may shape it.
TEST_F(LockedRun, FlagsShapeTheNewRegionPart) {
  auto options = config("roi", {.image = true, .text = true});
  options.region_extractor = RegionExtractor::kRoiAlign;
  train(options);
  const auto model = read_model_config(folder_ / "roi" / "model");
  EXPECT_EQ(model.cloc.region_extractor, RegionExtractor::kRoiAlign);
  EXPECT_TRUE(changed("roi").empty());

  options = config("again", {.image = true});
  options.init = (folder_ / "roi" / "model").string();
  options.region_extractor = RegionExtractor::kPrompter;
  EXPECT_THROW(train(options), Error);
}

// The sigmoid loss from scratch, then a Prompter on what came out.
TEST_F(LockedRun, SiglipsTowersAndLoss) {
  Json towers = open_clip_config_json(load_model_config("ViT-Test"));
  auto& model = towers["model_cfg"];
  model["vision_cfg"].update({{"class_token", false},
                              {"patch_bias", true},
                              {"no_ln_pre", true},
                              {"pool_type", "map"},
                              {"proj_type", "none"},
                              {"act_kwargs", {{"approximate", "tanh"}}}});
  model["text_cfg"].update({{"no_causal_mask", true}, {"proj_bias", true}, {"pool_type", "last"}});
  write_file(folder_ / "siglip.json", dump_json(towers));
  auto options = tiny_config(folder_ / "a.tar", folder_ / "siglip");
  options.model = (folder_ / "siglip.json").string();
  options.siglip = true;
  options.objective = find_objective("clip");
  train(options);
  const SafetensorsFile file(folder_ / "siglip" / "model" / "open_clip_model.safetensors");
  EXPECT_NEAR(file.tensor("logit_bias").item<double>(), -10, 0.1);
  EXPECT_NE(file.tensor("logit_bias").item<double>(), -10) << "it learns";

  options = config("on_siglip", {.image = true, .text = true});
  options.init = (folder_ / "siglip" / "model").string();
  options.accum_freq = 2;
  EXPECT_GT(train(options).loss, 0);
  const SafetensorsFile after(folder_ / "on_siglip" / "model" / "open_clip_model.safetensors");
  for (const auto& info : file.tensors())
    EXPECT_TRUE(torch::equal(file.tensor(info), after.tensor(info.name))) << info.name;

  options = config("refused", {});
  options.siglip = true;  // a CLIP has no logit_bias
  EXPECT_THROW(train(options), Error);
}

TEST_F(LockedRun, RefusesWhatMakesNoSense) {
  auto options = config("refused", {.image = true, .text = true});
  options.objective = find_objective("clip");
  EXPECT_THROW(train(options), Error);
  options = config("refused", {.image = true});
  options.init.clear();
  EXPECT_THROW(train(options), Error);
  EXPECT_THROW(train(config("refused", {.image_unlocked_groups = 1})), Error);
  EXPECT_THROW(train(config("refused", {.text_unlocked_groups = 1})), Error);
  EXPECT_FALSE(fs::exists(folder_ / "refused"));
}

}  // namespace
}  // namespace opencloc
