// A model directory with random weights, made in a moment.
#pragma once

#include <filesystem>

#include <torch/utils.h>

#include "opencloc/base/files.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/text/sentence_piece.h"

namespace opencloc::fixtures {

struct TinyModel {
  CanvasRule canvas = CanvasRule::kLongest;
  RegionExtractor extractor = RegionExtractor::kPrompter;
  bool region_heads = true;
  bool quality_head = false;
};

inline void write_tiny_model(const std::filesystem::path& directory, const TinyModel& tiny = {}) {
  const auto pieces = directory.parent_path() / "tiny_model_pieces.model";
  int captions = 0;
  train_sentencepiece(
      [&]() -> std::optional<std::string> {
        const std::vector<std::string> texts{"a red car beside a tree", "two dogs in the street",
                                             "a blue bus", "the green house on a hill"};
        if (captions == 40) return std::nullopt;
        return texts[static_cast<size_t>(captions++) % texts.size()];
      },
      {.vocab_size = 60}, pieces);
  const auto tokenizer = load_tokenizer(pieces);

  ModelConfig config;
  config.embed_dim = 24;
  config.vision = {.image_size = 32, .patch_size = 8, .width = 32, .layers = 2, .head_width = 16};
  config.text = {.context_length = 16,
                 .vocab_size = tokenizer->vocab_size(),
                 .width = 16,
                 .heads = 2,
                 .layers = 2,
                 .eos_id = tokenizer->end_id()};
  config.preprocess.resize_mode = tiny.canvas;
  config.cloc.region_extractor = tiny.extractor;
  config.cloc.quality_head = tiny.quality_head;
  torch::manual_seed(11);
  Cloc model(config);
  {
    // Far from where training starts, so that embeddings differ visibly.
    const torch::NoGradGuard no_grad;
    for (auto& weight : model->parameters()) weight.add_(0.2 * torch::randn_like(weight));
  }
  SaveOptions options;
  options.tokenizer = tokenizer.get();
  options.region_heads = tiny.region_heads;
  save_model(directory, model, options);
  std::filesystem::remove(pieces);
}

}  // namespace opencloc::fixtures
