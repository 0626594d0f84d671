// Pictures small enough for tests, with dialogues about them, and a tower that has learned nothing.
#pragma once

#include <filesystem>
#include <string>

#include <torch/utils.h>

#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/dialogue/dialogue.h"
#include "opencloc/mllm/trainer.h"
#include "tests/train/tiny_run.h"

namespace opencloc::fixtures {

// Referring, pointing, grounding and existence about both squares of a picture.
inline Record talking_squares(uint64_t seed) {
  Record record = squares(seed);
  std::vector<Dialogue> dialogues;
  const auto add = [&](const char* task, std::string ask, std::string say) -> Dialogue& {
    Dialogue& dialogue = dialogues.emplace_back();
    dialogue.task = task;
    dialogue.turns.push_back({std::move(ask), std::move(say)});
    return dialogue;
  };
  const auto colour = [](const Region& region) {  // "a red square"
    return region.text.substr(2, region.text.find(' ', 2) - 2);
  };
  for (size_t i = 0; i < record.regions.size(); ++i) {
    const Region& region = record.regions[i];
    const std::string name = colour(region), other = colour(record.regions[1 - i]);
    auto& refer =
        add("refer", "Is the object <box0> of the image a " + name + " or a " + other + "?", name);
    refer.boxes = {region.box};
    refer.extra = {{"name", name}, {"other", other}};
    auto& ground =
        add("ground", "What is the location of " + name + " in the image?", name + " <box0>.");
    ground.boxes = {region.box};
    auto& point = add("point", "What is the object <point0> of the image?", name);
    point.boxes = {region.box};
    point.points = {{(region.box.x0 + region.box.x1) / 2, (region.box.y0 + region.box.y1) / 2}};
    point.extra = {{"name", name}};
  }
  auto& exists = add("exists", "Is there a pink in the image?", "No");
  exists.extra = {{"absent", "random"}};
  set_dialogues(dialogues, record);
  return record;
}

inline void write_talking_squares(const std::filesystem::path& path, int count) {
  ShardWriter writer(path);
  for (int i = 0; i < count; ++i) writer.write(talking_squares(static_cast<uint64_t>(i)));
  writer.commit();
}

// ViT-Test with its region part, 4 tokens to a picture.
inline std::filesystem::path write_tower(const std::filesystem::path& path) {
  torch::manual_seed(5);
  const Cloc tower(load_model_config("ViT-Test"));
  save_model(path, tower, {});
  return path;
}

// 8 steps of 2 pictures with two dialogues each, a checkpoint every 4.
inline MllmTrainConfig tiny_mllm_config(const std::filesystem::path& folder,
                                        RegionSource source = RegionSource::kSampler) {
  MllmTrainConfig config;
  config.data = (folder / "data.tar").string();
  config.vision = (folder / "tower").string();
  config.out = folder / "run";
  config.steps = 8;
  config.batch_size = 2;
  config.dialogues = 2;
  config.lr = 3e-3;
  config.vocab_size = 300;
  config.save_every = 4;
  config.log_every = 1;
  config.workers = 2;
  config.report_pictures = 0;
  config.progress = false;
  auto& model = config.settings.model;
  model.language = {.vocab_size = 0, .context_length = 512, .width = 48, .layers = 2, .heads = 3};
  model.region_source = source;
  model.sampler.points = 16;
  model.sampler.rounds = {{8, 4}, {4, 4}};
  return config;
}

}  // namespace opencloc::fixtures
