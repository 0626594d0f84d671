#include "opencloc/checkpoint/layout/open_clip_layout.h"

#include <string>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/layout/timm_names.h"
#include "opencloc/checkpoint/layout/weights.h"
#include "opencloc/checkpoint/layout/wrapped_names.h"
#include "opencloc/model/config/timm_towers.h"
#include "opencloc/model/quantized.h"
#include "opencloc/text/sentence_piece_json.h"

namespace opencloc::open_clip_layout {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "open_clip_config.json";
constexpr const char* kWeightsFiles[] = {"open_clip_model.safetensors",
                                         "open_clip_model.safetensors.index.json",
                                         "open_clip_pytorch_model.bin"};

StoredTensors open(const fs::path& weights) {
  return without_wrappers(open_weights(weights), {"visual.conv1.weight", timm_names::kAnchor});
}

}  // namespace

bool no_parameter(const std::string& name) {
  return name == "attn_mask" || name == "text_decoder.attn_mask" || name == "text.attn_mask" ||
         name == "input_resolution" || name == "context_length" || name == "vocab_size";
}

// CustomTextCLIP keeps the text tower in a module of its own.
StoredAs custom_text(const std::string& parameter) {
  const bool apart = parameter.starts_with("visual.") || parameter.starts_with("logit_") ||
                     parameter.starts_with("text_decoder.");
  return {{apart ? parameter : "text." + parameter}};
}

bool found(const fs::path& directory) { return fs::exists(directory / kConfigFile); }

fs::path weights_in(const fs::path& directory) { return find_weights(directory, kWeightsFiles); }

Sources sources(const fs::path& directory) {
  Sources files;
  files.config = directory / kConfigFile;
  files.weights = weights_in(directory);
  const Json json = read_json(files.config);
  if (json.is_object() && !json.contains("preprocess_cfg")) {
    files.assumed.emplace_back(
        std::string(kConfigFile) +
        " has no preprocess_cfg: pictures are prepared as CLIP's (its mean and std, cut to a "
        "square, bicubic), as open_clip does");
  }
  if (files.weights.empty()) return files;
  const StoredTensors weights = open(files.weights);
  if (!weights.note().empty()) files.assumed.push_back(weights.note());
  // open_clip computes OpenAI's weights with quick_gelu whatever the name says; a directory does
  // not.
  if (weights.find("input_resolution") != nullptr && !read_config(directory).quick_gelu) {
    files.assumed.emplace_back(
        "the weights carry OpenAI's numbers, whose models compute quick_gelu, but " +
        std::string(kConfigFile) + " says gelu: gelu is computed");
  }
  return files;
}

ModelConfig read_config(const fs::path& directory) {
  const fs::path path = directory / kConfigFile;
  return model_config_from_json(read_json(path), path.string());
}

void load_towers(const fs::path& directory, Cloc& model) {
  const fs::path path = find_weights(directory, kWeightsFiles);
  if (path.empty()) {
    throw Error::input(std::string("no ") + kWeightsFiles[0], directory.string(),
                       "save the weights as safetensors under that name");
  }
  // open_clip, too, takes either form for either configuration: the file decides.
  const StoredTensors weights = open(path);
  const bool custom = weights.find("text.token_embedding.weight") != nullptr;
  Naming naming = custom ? custom_text : stored_plainly;
  if (timm_names::found(weights)) naming = timm_names::naming(naming);
  const auto parameters = quantized_clip_weights(model);
  load_weights(weights, parameters, naming, no_parameter);
  if (!is_quantized(model)) return;
  for (const auto& [name, tensor] : parameters) {
    if (name.ends_with("_scale") && tensor.dim() == 1 &&
        !tensor.isfinite().logical_and(tensor.ge(0)).all().item<bool>()) {
      throw Error::input("a scale is negative or no number", path.string() + ": " + name,
                         "get the file again: it is damaged");
    }
  }
  set_quantized_weights(model, parameters);
}

void write(const fs::path& directory, const Cloc& model, const TowerOptions& options) {
  Json config = open_clip_config_json(model->config());
  // Any name makes get_tokenizer("local-dir:...") read the folder's tokenizer.json.
  if (options.tokenizer != nullptr && !transformers_tokenizer_files(*options.tokenizer).empty())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = ".";
  write_file(directory / kConfigFile, dump_json(config, 2) + '\n');
  const ModelConfig& written = model->config();
  Naming naming = written.custom_text ? custom_text : stored_plainly;
  // open_clip builds these from their name, and multiplies no 8-bit weights.
  if (timm_tower(written.vision) != nullptr && !is_quantized(model))
    naming = timm_names::naming(naming);
  auto weights = stored_weights(quantized_clip_weights(model), naming);
  if (!is_quantized(model)) weights = cast(std::move(weights), options.dtype);
  write_safetensors(directory / kWeightsFiles[0], weights, {{"format", "pt"}});
}

}  // namespace opencloc::open_clip_layout
