#include "opencloc/checkpoint/open_clip_layout.h"

#include <string>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/weights.h"

namespace opencloc::open_clip_layout {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "open_clip_config.json";
constexpr const char* kWeightsFile = "open_clip_model.safetensors";

// A buffer, and the scalars of OpenAI's checkpoints.
bool no_parameter(const std::string& name) {
  return name == "attn_mask" || name == "text.attn_mask" || name == "input_resolution" ||
         name == "context_length" || name == "vocab_size";
}

// CustomTextCLIP keeps the text tower in a module of its own.
StoredAs custom_text(const std::string& parameter) {
  const bool image = parameter.starts_with("visual."), logit = parameter.starts_with("logit_");
  return {{image || logit ? parameter : "text." + parameter}};
}

}  // namespace

bool found(const fs::path& directory) { return fs::exists(directory / kConfigFile); }

ModelConfig read_config(const fs::path& directory) {
  const fs::path path = directory / kConfigFile;
  return model_config_from_json(read_json(path), path.string());
}

void load_towers(const fs::path& directory, Cloc& model) {
  const fs::path path = directory / kWeightsFile;
  if (!fs::exists(path)) {
    throw Error::input(std::string("no ") + kWeightsFile, directory.string(),
                       "save the weights as safetensors under that name");
  }
  // open_clip, too, takes either form for either configuration: the file decides.
  const SafetensorsFile file(path);
  const bool custom = file.find("text.token_embedding.weight") != nullptr;
  load_weights(file, model->clip_weights(), custom ? custom_text : stored_plainly, no_parameter);
}

void write(const fs::path& directory, const Cloc& model) {
  write_file(directory / kConfigFile, dump_json(open_clip_config_json(model->config()), 2) + '\n');
  const Naming naming = model->config().custom_text ? custom_text : stored_plainly;
  write_safetensors(directory / kWeightsFile, stored_weights(model->clip_weights(), naming),
                    {{"format", "pt"}});
}

}  // namespace opencloc::open_clip_layout
