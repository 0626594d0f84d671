#include "opencloc/checkpoint/hf_layout.h"

#include <array>
#include <string>
#include <string_view>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/hf_config.h"
#include "opencloc/checkpoint/weights.h"

namespace opencloc::hf_layout {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "config.json";
constexpr const char* kPreprocessorFile = "preprocessor_config.json";
constexpr const char* kWeightsFile = "model.safetensors";

struct Renamed {
  std::string_view open_clip;
  std::string_view hf;
};

// Outside the blocks.
constexpr std::array<Renamed, 10> kSingles{{
    {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
    {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"},
    {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
    {"visual.ln_pre.", "vision_model.pre_layrnorm."},  // transformers spells it so
    {"visual.ln_post.", "vision_model.post_layernorm."},
    {"visual.proj", "visual_projection.weight"},
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final.", "text_model.final_layer_norm."},
    {"text_projection", "text_projection.weight"},
}};

// Within a block.
constexpr std::array<Renamed, 5> kInBlock{{
    {"ln_1.", "layer_norm1."},
    {"ln_2.", "layer_norm2."},
    {"attn.out_proj.", "self_attn.out_proj."},
    {"mlp.c_fc.", "mlp.fc1."},
    {"mlp.c_proj.", "mlp.fc2."},
}};

// Replaces the prefix of the first entry that matches; empty when none does.
template <size_t N>
std::string rename(const std::array<Renamed, N>& table, std::string_view name) {
  for (const auto& entry : table) {
    if (name.starts_with(entry.open_clip))
      return std::string(entry.hf) + std::string(name.substr(entry.open_clip.size()));
  }
  return {};
}

}  // namespace

StoredAs naming(const std::string& name) {
  constexpr std::string_view kBlocks = "transformer.resblocks.";
  const bool visual = name.starts_with("visual.");
  const std::string_view rest = std::string_view(name).substr(visual ? 7 : 0);
  if (rest.starts_with(kBlocks)) {
    const std::string_view block = rest.substr(kBlocks.size());  // "11.mlp.c_fc.weight"
    const size_t dot = block.find('.');
    const std::string layer = std::string(visual ? "vision_model" : "text_model") +
                              ".encoder.layers." + std::string(block.substr(0, dot + 1));
    const std::string_view part = block.substr(dot + 1);
    if (part.starts_with("attn.in_proj_")) {  // "attn.in_proj_weight" = query, key, value
      const std::string kind(part.substr(std::string_view("attn.in_proj_").size()));
      const std::string attention = layer + "self_attn.";
      return {{attention + "q_proj." + kind, attention + "k_proj." + kind,
               attention + "v_proj." + kind},
              StoredAs::Form::kSplitRows};
    }
    return {{layer + rename(kInBlock, part)}};
  }
  const bool projection = name == "visual.proj" || name == "text_projection";
  const std::string renamed = rename(kSingles, name);
  return {{renamed.empty() ? name : renamed},
          projection ? StoredAs::Form::kTransposed : StoredAs::Form::kSame};
}

namespace {

// Buffers of older versions.
bool no_parameter(const std::string& name) { return name.ends_with(".embeddings.position_ids"); }

}  // namespace

bool found(const fs::path& directory) {
  const fs::path path = directory / kConfigFile;
  if (!fs::exists(path)) return false;
  const Json json = read_json(path);
  return json.is_object() && json_string(json, "model_type", path.string(), "") == "clip";
}

ModelConfig read_config(const fs::path& directory) {
  const fs::path path = directory / kConfigFile;
  auto config = hf_model_config(read_json(path), path.string());
  if (const fs::path other = directory / kPreprocessorFile; fs::exists(other)) {
    config.preprocess =
        hf_preprocess_config(read_json(other), config.vision.image_size, other.string());
  }
  config.validate(path.string());
  return config;
}

void load_towers(const fs::path& directory, Cloc& model) {
  const fs::path path = directory / kWeightsFile;
  if (!fs::exists(path)) {
    throw Error::input(std::string("no ") + kWeightsFile, directory.string(),
                       "save the model with safe_serialization=True and in one piece");
  }
  load_weights(SafetensorsFile(path), model->clip_weights(), naming, no_parameter);
}

void write(const fs::path& directory, const Cloc& model) {
  const auto& config = model->config();
  write_file(directory / kConfigFile, dump_json(hf_config_json(config), 2) + '\n');
  write_file(directory / kPreprocessorFile, dump_json(hf_preprocessor_json(config), 2) + '\n');
  write_safetensors(directory / kWeightsFile, stored_weights(model->clip_weights(), naming),
                    {{"format", "pt"}});
}

}  // namespace opencloc::hf_layout
