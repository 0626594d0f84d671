// A multimodal language model as it is trained, asked and kept: an image tower (model/cloc), what
// reads its tokens (model/mllm), a tokenizer, and the conventions they were trained with.
//
// Its directory (docs/guide/mllm.md):
//   vision/             the image tower with its region part: a model directory like any other
//   mllm_config.json    sizes and conventions
//   model.safetensors   language_model.*, multi_modal_projector.*, region_sampler.* or
//                       region_projector.*
//   tokenizer.model
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "opencloc/base/json.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/data/load/batch.h"
#include "opencloc/dialogue/frame.h"
#include "opencloc/mllm/sequence.h"
#include "opencloc/model/cloc/cloc.h"
#include "opencloc/model/mllm/mllm.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

struct MllmSettings {
  MllmConfig model;
  Frame frame = Frame::kFerret;
  // The layer whose tokens are read, counted as transformers' hidden_states: -2 as LLaVA.
  int64_t vision_layer = -2;
  // An experiment: the picture's tokens are zeros, so that only words answer.
  bool blind = false;
};

struct MllmModel {
  Cloc vision{nullptr};
  Mllm reader{nullptr};
  std::shared_ptr<const Tokenizer> tokenizer;
  MllmSettings settings;
  Json about = Json::object();  // what it was trained on

  // Of both models.
  void set_precision(Precision precision);
  void set_backend(Backend backend);
  void to(torch::Device device);
  torch::Device device() const;

  // Conventions of sequences for this model.
  SequenceOptions sequence_options() const;
  // Points that the source of regions wants within each of them; 0 = none.
  int64_t cloud_points() const;
};

// "ferret" and "llava", the frames that answers can be read back in without the picture's pixels.
const char* to_string(Frame frame);
Frame parse_frame(std::string_view name);  // Error (input)
// "none", "mean", "sampler", "prompter".
const char* to_string(RegionSource source);
RegionSource parse_region_source(std::string_view name);  // Error (input)

// What follows from the tower: token_width, and embedding_width with kEmbedding. Error (input) for
// a tower that the settings do not fit: without the region part that kEmbedding needs, without that
// layer, or with more tokens than the context has places.
void fit_to_tower(const Cloc& vision, MllmSettings& settings);

// The reader for these settings, with GPT-2's start; draws from libtorch's generator.
MllmModel new_mllm(Cloc vision, std::shared_ptr<const Tokenizer> tokenizer, MllmSettings settings);

// Parameters of the reader by their names on disk.
NamedTensors reader_weights(const MllmModel& model);

// Whole or not at all.
void save_mllm(const std::filesystem::path& folder, const MllmModel& model, const Json& about);
// Throws Error (input) for what is no such directory, and for files that do not fit together.
MllmModel load_mllm(const std::filesystem::path& folder);

// mllm_config.json.
Json mllm_settings_json(const MllmSettings& settings);
MllmSettings mllm_settings_from_json(const Json& json, const std::string& where);

// Parts of the tower that no gradient goes into.
struct FrozenParts {
  bool tower = true;
  bool regions = true;  // the region part
};
// What the language model reads of the batch's sequences (Batch::sequence_ids), whose pictures and
// regions are those of the batch: the embeddings of all places -> [B, L, H]. Pixels, boxes and
// points lie on the model's device.
torch::Tensor embed_sequences(MllmModel& model, const Batch& batch, FrozenParts frozen = {});
// embed_sequences() and the language model: what the next word is read off -> [B, L, H]
torch::Tensor read_sequences(MllmModel& model, const Batch& batch, FrozenParts frozen = {});

}  // namespace opencloc
